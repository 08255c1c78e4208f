"""The metrics of an accuracy run: counts with their shares and intervals. A missing value is None, never 0."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vlm_acceptance.accuracy.item import (
    ANSWERED,
    CHOICE,
    DECLINED,
    LOST,
    OPEN,
    READ,
    UNRESOLVED,
    Answer,
    Item,
    Score,
    Scorer,
)
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.stats.binomial import wilson

Scores = Mapping[str, Score]
_LONGEST_BARE = 10_000
_PUNCTUATION = re.compile(r"[\s.()\[\],:;!*#{}'\"`]+")


def score(items: Iterable[Item], answers: Mapping[str, Answer], scorers: Mapping[str, Scorer]) -> dict[str, Scores]:
    """Scores by scorer and question id. Only answers with a text are scored; every scorer iterates `items` once."""
    texts = {ident: answer.text for ident, answer in answers.items() if answer.text is not None}
    return {name: scorer(items, texts) for name, scorer in scorers.items()}


@dataclass(frozen=True, slots=True)
class ShapeCounts:
    """What the answers look like, whether right or not. `letters` are those read from choices; `open_a` counts open
    questions answered with a bare A.
    """

    answered: int = 0
    refused: int = 0
    lost: int = 0
    choice_answers: int = 0
    choice_unresolved: int = 0
    open_answers: int = 0
    open_unresolved: int = 0
    open_a: int = 0
    declined: int = 0
    empty: int = 0
    truncated: int = 0
    letters: Counter[str] = field(default_factory=Counter)

    @property
    def top_letter(self) -> str | None:
        """The letter read most often (the first in the alphabet if several are); None if no letter was read."""
        return min(self.letters, key=lambda letter: (-self.letters[letter], letter), default=None)

    @property
    def top_share(self) -> float | None:
        """The share of that letter among the letters read."""
        letter = self.top_letter
        return self.letters[letter] / self.letters.total() if letter else None

    @property
    def sent(self) -> int:
        """Questions that were sent."""
        return self.answered + self.refused + self.lost

    def shares(self) -> dict[str, Any]:
        """Every count with its base and share, as JSON."""
        rows = {
            "unresolved": (self.choice_unresolved + self.open_unresolved, self.answered),
            "choice_unresolved": (self.choice_unresolved, self.choice_answers),
            "open_unresolved": (self.open_unresolved, self.open_answers),
            "declined": (self.declined, self.answered),
            "empty": (self.empty, self.answered),
            "truncated": (self.truncated, self.answered),
            "open_a": (self.open_a, self.open_answers),
            "refused": (self.refused, self.sent),
            "lost": (self.lost, self.sent),
        }
        shown = {name: {"count": count, "of": of, "share": _share(count, of)} for name, (count, of) in rows.items()}
        return {**shown, "top_letter": self.top_letter, "top_share": self.top_share}


def shape_of(items: Iterable[Item], answers: Mapping[str, Answer], scores: Scores) -> ShapeCounts:
    """The shape of all answers by the deciding scorer's `scores`."""
    counts, letters = Counter[str](), Counter[str]()
    for item in items:
        answer, result = answers.get(item.id), scores.get(item.id)
        if answer is None:
            continue
        counts.update(_signs(item, answer, result))
        if result is not None and _has_letter(item, result):
            letters[result.read] += 1
    return ShapeCounts(**counts, letters=letters)


def _signs(item: Item, answer: Answer, score: Score | None) -> Iterator[str]:
    """The counts of `ShapeCounts` that one answer adds to."""
    if answer.status != ANSWERED or answer.text is None:
        yield "lost" if answer.status == LOST else "refused"
        return
    state = score.state if score else UNRESOLVED
    kind = "choice" if item.kind == CHOICE else "open"
    yield from ("answered", f"{kind}_answers")
    if state == UNRESOLVED:
        yield f"{kind}_unresolved"
    if state == DECLINED:
        yield "declined"
    if not answer.text.strip():
        yield "empty"
    if answer.finish_reason == "length" or answer.is_cut:
        yield "truncated"
    if kind == "open" and _is_bare_a(answer.text):
        yield "open_a"


def _has_letter(item: Item, score: Score) -> bool:
    # some scorers read a text that is no letter of the question
    return item.kind == CHOICE and score.state == READ and score.read in set(item.letters)


def _is_bare_a(text: str) -> bool:
    # the letter alone, repeated or dressed in punctuation: `A`, `(A).`, `A A A`
    return len(text) <= _LONGEST_BARE and set(_PUNCTUATION.split(text)) - {""} == {"A"}


class _Row(NamedTuple):
    """One question with its answer, as far as it is counted."""

    group: str
    kind: str
    answered: bool
    right: bool


def measure(
    items: Iterable[Item],
    answers: Mapping[str, Answer],
    scores: Mapping[str, Scores],
    deciding_scorer: str,
    domains: Mapping[str, Sequence[str]],
    span_s: float | None = None,
    new_answers: int | None = None,
) -> dict[str, Any]:
    """All metrics of a run, ready for JSON: shares are 0 to 1 and of the answered questions, times in seconds.

    `scores` come from `score`, by scorer; `domains` list groups in the order to show. `span_s` is how long the
    requests of this run took, `new_answers` how many they were (a resumed run sends fewer). `items` is iterated twice.
    """
    deciding, rows, golds = scores[deciding_scorer], [], Counter[str]()
    own: dict[str, Answer] = {}
    for item in items:
        answer, result = answers.get(item.id), deciding.get(item.id)
        answered = answer is not None and answer.text is not None
        rows.append(_Row(item.group, item.kind, answered, answered and result is not None and result.right))
        golds.update(item.gold if item.kind == CHOICE else ())
        if answer is not None:
            own[item.id] = answer
    counts, total = shape_of(items, own, deciding), _tally(rows)
    not_asked = total["questions"] - counts.sent
    return {
        "scorer": deciding_scorer,
        "complete": total["questions"] == total["answered"],
        "total": {**total, "refused": counts.refused, "lost": counts.lost, "not_asked": not_asked},
        "kinds": {kind: _tally([row for row in rows if row.kind == kind]) for kind in (CHOICE, OPEN)},
        **_groups(rows, domains),
        "scorers": {name: _scorer_row(found, own) for name, found in scores.items()},
        "shape": counts.shares(),
        "letters": {"answers": dict(sorted(counts.letters.items())), "golds": dict(sorted(golds.items()))},
        "tokens": _tokens(own.values()),
        "time": _times(own.values(), span_s, new_answers),
        "retries": [
            {"id": answer.id, "attempts": [trimmed(reason[:400], 200) for reason in answer.attempts]}
            for answer in own.values()
            if answer.attempts
        ],
        "failures": [
            {"id": a.id, "status": a.status, "http_status": a.http_status, "error": trimmed(a.error[:400], 200)}
            for a in own.values()
            if a.status != ANSWERED
        ],
    }


def _groups(rows: Iterable[_Row], domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Domains and subjects in the order of the domains, then the subjects of no domain."""
    groups: dict[str, list[_Row]] = {name: [] for names in domains.values() for name in names}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    present = {domain: [name for name in names if groups[name]] for domain, names in domains.items()}
    return {
        "domains": {
            domain: {**_tally([row for name in names for row in groups[name]]), "subjects": names}
            for domain, names in present.items()
            if names
        },
        "subjects": {name: _tally(members) for name, members in groups.items() if members},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _tally(rows: Sequence[_Row]) -> dict[str, Any]:
    answered, right = sum(row.answered for row in rows), sum(row.right for row in rows)
    low, high = wilson(right, answered) if answered else (None, None)
    share = _share(right, answered)
    return {"right": right, "answered": answered, "questions": len(rows), "share": share, "low": low, "high": high}


def _scorer_row(scores: Scores, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """One scorer's counts over the answered questions."""
    answered = [ident for ident, answer in answers.items() if answer.text is not None]
    tally = _tally([_Row("", "", True, ident in scores and scores[ident].right) for ident in answered])
    states = Counter(scores[ident].state for ident in answers if ident in scores)
    return {
        **{key: tally[key] for key in ("right", "share", "low", "high")},
        "unresolved": states[UNRESOLVED],
        "declined": states[DECLINED],
    }


def _tokens(answers: Iterable[Answer]) -> dict[str, Any]:
    """Sums over the answers with token counts, and how many these are."""
    counts = [(a.prompt_tokens, a.completion_tokens) for a in answers]
    known = [(prompt, completion) for prompt, completion in counts if prompt is not None and completion is not None]
    if not known:
        return {"answers": 0, "prompt": None, "completion": None}
    prompt, completion = (sum(column) for column in zip(*known, strict=True))
    return {"answers": len(known), "prompt": prompt, "completion": completion}


def _times(answers: Iterable[Answer], span_s: float | None, new_answers: int | None) -> dict[str, Any]:
    took = sorted(a.elapsed_s for a in answers if a.text is not None and math.isfinite(a.elapsed_s))
    return {
        "median_s": statistics.median(took) if took else None,
        # the nearest rank: a time that was measured
        "p95_s": took[math.ceil(0.95 * len(took)) - 1] if took else None,
        "max_s": took[-1] if took else None,
        "span_s": span_s,
        "asked": new_answers,
        "questions_per_s": new_answers / span_s if new_answers is not None and span_s and span_s > 0 else None,
    }
