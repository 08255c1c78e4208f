"""A stored run with one answer per question: its rows matched to the questions, and the comparison with this run."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlm_acceptance.accuracy.baseline_files import Row, read_stored
from vlm_acceptance.accuracy.item import Item, Score
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.text import printable, trimmed
from vlm_acceptance.stats.binomial import mcnemar, non_inferior, paired_difference

UNMATCHED_SHARE = 0.05
_SHOWN_TEXT = 120  # characters
# texts that pandas reads as an empty cell, so that VLMEvalKit loses such an option
_TAKEN_FOR_EMPTY = {"", "n/a", "na", "nan", "none", "null", "<na>", "#n/a", "#na", "-nan"}
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A stored run: raw answers by question id, and `hits`, its own judgement of them, if it has any.

    `missing` are questions without an answer, `extra` are rows that match no question; `identity` is the first line of
    an answers file.
    """

    name: str
    texts: Mapping[str, str]
    hits: Mapping[str, bool] | None
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    identity: Mapping[str, Any] | None = None


def read_baseline(path: Path, items: Iterable[Item], share: float = UNMATCHED_SHARE) -> Baseline:
    """The stored run in `path`, for all questions of the data. Rows are matched by id, else by their text.

    UsageProblem of one line for an invalid file, and if more than `share` of questions or rows are unmatched.
    """
    rows, identity = read_stored(path)
    known, found = _match(items, rows)
    texts = {ident: row.text for ident, row in found.items() if row.text is not None}
    hits = {ident: row.hit for ident, row in found.items() if row.hit is not None and row.text is not None}
    matched = {id(row) for row in found.values()}
    extra = [row for row in rows if id(row) not in matched]
    missing = tuple(ident for ident in known if ident not in texts)
    names = tuple(f"{row.place}: {trimmed((row.id or row.question)[:_SHOWN_TEXT], 60)}" for row in extra)
    if len(missing) > share * len(known) or len(extra) > share * len(rows):
        parts = []
        if missing:
            parts.append(f"{len(missing)} of {len(known)} questions have no answer in it (first {missing[0]})")
        if extra:
            parts.append(f"{len(extra)} of its {len(rows)} rows match no question (first {names[0]})")
        raise UsageProblem(f"{shown(path)} is not a stored run of these questions: {'; '.join(parts)}")
    return Baseline(path.name, texts, hits or None, missing, names, identity)


def _match(items: Iterable[Item], rows: Sequence[Row]) -> tuple[list[str], dict[str, Row]]:
    """All question ids, and the row of each matched one.

    By id; then by the whole text, equal texts in their order; then by a text that is unique on both sides.
    """
    questions = {item.id: _keys_of(item.group, item.question, item.options) for item in items}
    found: dict[str, Row] = {}
    for row in rows:
        if row.id in questions:
            found.setdefault(row.id, row)
    taken = {id(row) for row in found.values()}
    left = [
        (row, _keys_of(row.group, row.question, row.options))
        for row in rows
        if id(row) not in taken and row.question and row.id not in questions
    ]
    for place, in_order in enumerate((True, False, False)):
        wanting = _by_key((keys[place], ident) for ident, keys in questions.items() if ident not in found)
        offered = _by_key((keys[place], row) for row, keys in left if id(row) not in taken)
        for key, idents in wanting.items():
            candidates = offered.get(key, [])
            # with different numbers it is unknown which row belongs to which question
            if len(candidates) == len(idents) and (in_order or len(idents) == 1):
                found.update(zip(idents, candidates, strict=True))
                taken.update(id(row) for row in candidates)
    return list(questions), found


def _by_key(pairs: Iterable[tuple[bytes, _Value]]) -> dict[bytes, list[_Value]]:
    found: dict[bytes, list[_Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _keys_of(group: str, question: str, options: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """Hashes of a question: whole, without the group, without the options."""
    return _key_of(group, question, options), _key_of("", question, options), _key_of(group, question, ())


def _key_of(group: str, question: str, options: Sequence[str]) -> bytes:
    """A hash in place of the text, as 11,000 are in memory at once."""
    kept = [text for text in map(_plain, options) if text not in _TAKEN_FOR_EMPTY]
    name = re.sub(r"[\s_]+", "_", _plain(group).replace("&", " and ")).strip("_")
    text = "\0".join([name, _plain(question), *kept])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _plain(text: str) -> str:
    """Text without differences between copies of a data set: white space, letter case, spelling of numbers."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    try:
        return repr(float(folded)) if folded and len(folded) < 30 else folded
    except ValueError:
        return folded


def require_same_data(baseline: Baseline, prepared: Prepared) -> None:
    """UsageProblem if the stored run is one of ours, over other data."""
    data = (baseline.identity or {}).get("data")
    stored = data.get("sha256") if isinstance(data, dict) else None
    if stored is not None and stored != prepared.sha256:
        raise UsageProblem(
            f"{baseline.name} is a run over other data: index sha256 {stored[:16]}, here {prepared.sha256[:16]}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """The questions that both runs answered: ids of the lost and the gained, numbers right in both and in neither."""

    lost: tuple[str, ...]
    gained: tuple[str, ...]
    both: int
    neither: int

    @property
    def compared(self) -> int:
        """Questions answered in both runs."""
        return len(self.lost) + len(self.gained) + self.both + self.neither

    @property
    def p(self) -> float:
        """Exact McNemar p that the loss is chance."""
        return mcnemar(len(self.lost), len(self.gained))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference of the shares."""
        return paired_difference(self.compared, len(self.lost), len(self.gained), 0.95)

    def rules_out(self, margin: float) -> bool:
        """Whether a loss of the margin (a share) is ruled out at 5 %."""
        return non_inferior(self.compared, len(self.lost), len(self.gained), margin, 0.05)


def compare(now: Mapping[str, Score], then: Mapping[str, Score]) -> Comparison:
    """Two runs question by question, over the questions that have a score in both, in the order of `now`."""
    pairs = [(ident, score.right, then[ident].right) for ident, score in now.items() if ident in then]
    return Comparison(
        tuple(ident for ident, new, old in pairs if old and not new),
        tuple(ident for ident, new, old in pairs if new and not old),
        sum(new and old for _, new, old in pairs),
        sum(not new and not old for _, new, old in pairs),
    )


def changed(
    comparison: Comparison, items: Iterable[Item], now: Mapping[str, str], then: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The lost and the gained questions as rows for a report, answers trimmed; `now` and `then` are raw texts."""
    kinds = {**dict.fromkeys(comparison.lost, "lost"), **dict.fromkeys(comparison.gained, "gained")}
    rows: dict[str, list[dict[str, Any]]] = {"lost": [], "gained": []}
    for item in items:
        if item.id in kinds:
            row = {"id": item.id, "group": item.group, "gold": list(item.gold)}
            texts = {"then": _cut(then.get(item.id)), "now": _cut(now.get(item.id))}
            rows[kinds[item.id]].append({**row, **texts})
    return rows


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    # cut before escaping: a text may have ten megabytes
    return printable(text[:_SHOWN_TEXT]) + (f"… ({len(text)} characters)" if len(text) > _SHOWN_TEXT else "")
