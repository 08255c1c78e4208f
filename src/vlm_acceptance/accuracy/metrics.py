"""The metrics of an accuracy run: counts with their shares and intervals. A missing value is None, never 0."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
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
    """What the answers look like. `letters` are those of choices, `open_a` open questions answered with a bare A."""

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

    def shares(self) -> dict[str, Any]:
        """Every count with its base and share, as JSON."""
        sent = self.answered + self.refused + self.lost
        rows = {
            "unresolved": (self.choice_unresolved + self.open_unresolved, self.answered),
            "choice_unresolved": (self.choice_unresolved, self.choice_answers),
            "open_unresolved": (self.open_unresolved, self.open_answers),
            "declined": (self.declined, self.answered),
            "empty": (self.empty, self.answered),
            "truncated": (self.truncated, self.answered),
            "open_a": (self.open_a, self.open_answers),
            "refused": (self.refused, sent),
            "lost": (self.lost, sent),
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
        # some scorers read a text that is no letter of the question
        if result and item.kind == CHOICE and result.state == READ and result.read in set(item.letters):
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


def _is_bare_a(text: str) -> bool:
    # the letter alone, repeated or dressed in punctuation: `A`, `(A).`, `A A A`
    return len(text) <= _LONGEST_BARE and set(_PUNCTUATION.split(text)) - {""} == {"A"}


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
    deciding, golds = scores[deciding_scorer], Counter[str]()
    own: dict[str, Answer] = {}
    groups: dict[str, list[bool | None]] = {name: [] for names in domains.values() for name in names}
    kinds: dict[str, list[bool | None]] = {CHOICE: [], OPEN: []}
    for item in items:
        if item.id in answers:
            own[item.id] = answers[item.id]
        result = _is_right(answers.get(item.id), deciding.get(item.id))
        groups.setdefault(item.group, []).append(result)
        kinds[item.kind].append(result)
        golds.update(item.gold if item.kind == CHOICE else ())
    counts, total = shape_of(items, own, deciding), _tally(chain(*kinds.values()))
    not_asked = total["questions"] - len(own)
    return {
        "scorer": deciding_scorer,
        "complete": total["questions"] == total["answered"],
        "total": {**total, "refused": counts.refused, "lost": counts.lost, "not_asked": not_asked},
        "kinds": {kind: _tally(results) for kind, results in kinds.items()},
        "domains": {
            domain: {**_tally(chain(*(groups[name] for name in present))), "subjects": present}
            for domain, names in domains.items()
            if (present := [name for name in names if groups[name]])
        },
        # in the order of the domains, then those of no domain
        "subjects": {name: _tally(results) for name, results in groups.items() if results},
        "scorers": {name: _scorer_row(found, own) for name, found in scores.items()},
        "shape": counts.shares(),
        "letters": {"answers": dict(sorted(counts.letters.items())), "golds": dict(sorted(golds.items()))},
        "tokens": _tokens(own.values()),
        "time": _times(own.values(), span_s, new_answers),
        **_troubles(own.values()),
    }


def _troubles(answers: Collection[Answer]) -> dict[str, Any]:
    """The requests that were sent again, and those without an answer."""
    again = [{"id": a.id, "attempts": [trimmed(text[:400], 200) for text in a.attempts]} for a in answers if a.attempts]
    failed = [
        {"id": a.id, "status": a.status, "http_status": a.http_status, "error": trimmed(a.error[:400], 200)}
        for a in answers
        if a.status != ANSWERED
    ]
    return {"retries": again, "failures": failed}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _is_right(answer: Answer | None, score: Score | None) -> bool | None:
    """Whether an answer is right; None without an answer."""
    return None if answer is None or answer.text is None else score is not None and score.right


def _tally(results: Iterable[bool | None]) -> dict[str, Any]:
    """The counts of questions that are right, wrong or (None) not answered."""
    counts = Counter(results)
    right, answered = counts[True], counts[True] + counts[False]
    low, high = wilson(right, answered) if answered else (None, None)
    row = {"right": right, "answered": answered, "questions": counts.total(), "share": _share(right, answered)}
    return {**row, "low": low, "high": high}


def _scorer_row(scores: Scores, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """One scorer's counts over the answered questions."""
    tally = _tally(_is_right(answer, scores.get(ident)) for ident, answer in answers.items())
    states = Counter(scores[ident].state for ident in answers if ident in scores)
    shown = {key: tally[key] for key in ("right", "share", "low", "high")}
    return {**shown, "unresolved": states[UNRESOLVED], "declined": states[DECLINED]}


def _tokens(answers: Iterable[Answer]) -> dict[str, Any]:
    """Sums over the answers with token counts, and how many these are."""
    counts = [(a.prompt_tokens, a.completion_tokens) for a in answers]
    known = [pair for pair in counts if None not in pair]
    prompt, completion = map(sum, zip(*known, strict=True)) if known else (None, None)
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
