"""The figures of an accuracy run: counts with their shares and intervals. What is missing is None, never 0."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from vlm_acceptance.core.finding import trimmed
from vlm_acceptance.stats.binomial import wilson

Scores = Mapping[str, Score]
_LONGEST_BARE = 10_000
_PUNCTUATION = re.compile(r"[\s.()\[\],:;!*#{}'\"`]+")


def score(items: Iterable[Item], answers: Mapping[str, Answer], scorers: Mapping[str, Scorer]) -> dict[str, Scores]:
    """Scores of every scorer, by its name. Only answers with a text reach one; each goes through `items` once."""
    texts = {ident: answer.text for ident, answer in answers.items() if answer.text is not None}
    return {name: scorer(items, texts) for name, scorer in scorers.items()}


@dataclass(frozen=True, slots=True)
class ShapeCounts:
    """What answers look like, whether right or not. `letters` are those read from choices; an unresolved or
    declined answer has none. `open_a` are open questions answered with a bare A.
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
        """The letter read most often, the first in the alphabet of several; None where none was read."""
        return min(self.letters, key=lambda letter: (-self.letters[letter], letter), default=None)

    @property
    def top_share(self) -> float | None:
        """The share of that letter among the letters read."""
        letter = self.top_letter
        return self.letters[letter] / self.letters.total() if letter else None


def shape(items: Iterable[Item], answers: Mapping[str, Answer], marks: Scores) -> ShapeCounts:
    """The shape of all answers, `marks` being those of the scorer of record."""
    counts: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for item in items:
        answer, mark = answers.get(item.id), marks.get(item.id)
        counts.update(_signs(item, answer, mark))
        if answer is not None and mark is not None and _has_letter(item, mark):
            letters[mark.read] += 1
    return ShapeCounts(**counts, letters=letters)


def _signs(item: Item, answer: Answer | None, mark: Score | None) -> Iterator[str]:
    """The counts of `ShapeCounts` that one answer adds to."""
    if answer is None:
        return
    if answer.status != ANSWERED or answer.text is None:
        yield "lost" if answer.status == LOST else "refused"
        return
    state = mark.state if mark else UNRESOLVED
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


def _has_letter(item: Item, mark: Score) -> bool:
    # some scorers read a text that is no letter of the question
    return item.kind == CHOICE and mark.state == READ and mark.read in set(item.letters)


def _is_bare_a(text: str) -> bool:
    # the letter alone, repeated or dressed in punctuation: `A`, `(A).`, `A A A`
    return len(text) <= _LONGEST_BARE and set(_PUNCTUATION.split(text)) - {""} == {"A"}


@dataclass(slots=True)
class _Tally:
    questions: int = 0
    answered: int = 0
    right: int = 0

    def add(self, answer: Answer | None, mark: Score | None) -> None:
        self.questions += 1
        if answer is not None and answer.text is not None:
            self.answered += 1
            self.right += mark is not None and mark.right

    def plus(self, other: _Tally) -> _Tally:
        return _Tally(self.questions + other.questions, self.answered + other.answered, self.right + other.right)

    def shown(self) -> dict[str, Any]:
        """Shares are of the questions that were answered."""
        low, high = wilson(self.right, self.answered) if self.answered else (None, None)
        return {
            "right": self.right,
            "answered": self.answered,
            "questions": self.questions,
            "share": _share(self.right, self.answered),
            "low": low,
            "high": high,
        }


def figures(
    items: Iterable[Item],
    answers: Mapping[str, Answer],
    marks: Mapping[str, Scores],
    record: str,
    domains: Mapping[str, Sequence[str]],
    span_s: float | None = None,
    asked: int | None = None,
) -> dict[str, Any]:
    """Everything countable, ready for JSON: shares are 0 to 1, times in seconds. `items` are gone through twice.

    `marks` come from `score`, `record` names the scorer that decides, `domains` list groups in the order to show.
    `span_s` is how long this run's requests took, `asked` how many they were (a resumed run asks fewer than all).
    """
    of_record = marks[record]
    kinds: dict[str, _Tally] = {CHOICE: _Tally(), OPEN: _Tally()}
    groups: dict[str, _Tally] = {name: _Tally() for named in domains.values() for name in named}
    golds: Counter[str] = Counter()
    seen: dict[str, Answer] = {}
    for item in items:
        answer, mark = answers.get(item.id), of_record.get(item.id)
        kinds[item.kind].add(answer, mark)
        groups.setdefault(item.group, _Tally()).add(answer, mark)
        if item.kind == CHOICE:
            golds.update(item.gold)
        if answer is not None:
            seen[item.id] = answer
    counts = shape(items, seen, of_record)
    total = kinds[CHOICE].plus(kinds[OPEN])
    not_asked = total.questions - counts.answered - counts.refused - counts.lost
    return {
        "scorer": record,
        "complete": total.questions == total.answered,
        "total": {**total.shown(), "refused": counts.refused, "lost": counts.lost, "not_asked": not_asked},
        "kinds": {name: tally.shown() for name, tally in kinds.items()},
        "domains": {name: _sum(groups, named) for name, named in domains.items() if _present(groups, named)},
        "subjects": {name: tally.shown() for name, tally in groups.items() if tally.questions},
        "scorers": {name: _scored(found, seen) for name, found in marks.items()},
        "shape": _shape_shown(counts),
        "letters": {"answers": _sorted(counts.letters), "golds": _sorted(golds)},
        "tokens": _tokens(seen.values()),
        "time": _times(seen.values(), span_s, asked),
        "retries": _retries(seen.values()),
        "failures": _failures(seen.values()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {letter: counts[letter] for letter in sorted(counts)}


def _present(groups: Mapping[str, _Tally], named: Sequence[str]) -> list[str]:
    return [name for name in named if groups[name].questions]


def _sum(groups: Mapping[str, _Tally], named: Sequence[str]) -> dict[str, Any]:
    tally = _Tally()
    for name in named:
        tally = tally.plus(groups[name])
    return {**tally.shown(), "subjects": _present(groups, named)}


def _scored(marks: Scores, answers: Mapping[str, Answer]) -> dict[str, Any]:
    tally, states = _Tally(), Counter[str]()
    for ident, answer in answers.items():
        mark = marks.get(ident)
        tally.add(answer, mark)
        states.update([mark.state] if mark else [])
    shown = tally.shown()
    return {
        **{key: shown[key] for key in ("right", "share", "low", "high")},
        "unresolved": states[UNRESOLVED],
        "declined": states[DECLINED],
    }


def _shape_shown(counts: ShapeCounts) -> dict[str, Any]:
    sent = counts.answered + counts.refused + counts.lost
    unresolved = counts.choice_unresolved + counts.open_unresolved
    rows = {
        "unresolved": (unresolved, counts.answered),
        "choice_unresolved": (counts.choice_unresolved, counts.choice_answers),
        "open_unresolved": (counts.open_unresolved, counts.open_answers),
        "declined": (counts.declined, counts.answered),
        "empty": (counts.empty, counts.answered),
        "truncated": (counts.truncated, counts.answered),
        "open_a": (counts.open_a, counts.open_answers),
        "refused": (counts.refused, sent),
        "lost": (counts.lost, sent),
    }
    shown: dict[str, Any] = {
        name: {"count": count, "of": whole, "share": _share(count, whole)} for name, (count, whole) in rows.items()
    }
    return {**shown, "top_letter": counts.top_letter, "top_share": counts.top_share}


def _tokens(answers: Iterable[Answer]) -> dict[str, Any]:
    """Sums over the answers that say their tokens, and how many do."""
    told = [answer for answer in answers if answer.prompt_tokens is not None and answer.completion_tokens is not None]
    if not told:
        return {"answers": 0, "prompt": None, "completion": None}
    prompt = sum(answer.prompt_tokens or 0 for answer in told)
    completion = sum(answer.completion_tokens or 0 for answer in told)
    return {"answers": len(told), "prompt": prompt, "completion": completion}


def _times(answers: Iterable[Answer], span_s: float | None, asked: int | None) -> dict[str, Any]:
    took = sorted(a.elapsed_s for a in answers if a.text is not None and math.isfinite(a.elapsed_s))
    rate = asked / span_s if asked is not None and span_s and span_s > 0 else None
    return {
        "median_s": statistics.median(took) if took else None,
        # the nearest rank: a time that was really seen
        "p95_s": took[math.ceil(0.95 * len(took)) - 1] if took else None,
        "max_s": took[-1] if took else None,
        "span_s": span_s,
        "asked": asked,
        "questions_per_s": rate,
    }


def _retries(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    return [
        {"id": answer.id, "attempts": [trimmed(reason[:400], 200) for reason in answer.attempts]}
        for answer in answers
        if answer.attempts
    ]


def _failures(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    return [
        {"id": a.id, "status": a.status, "http_status": a.http_status, "error": trimmed(a.error[:400], 200)}
        for a in answers
        if a.status != ANSWERED
    ]
