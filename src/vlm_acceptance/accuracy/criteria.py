"""The criteria of the accuracy verdict: pure functions from counts and answers to findings.

Functions that return a string give the reason why the run is inconclusive, or ''.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from vlm_acceptance.accuracy.baseline import Comparison
from vlm_acceptance.accuracy.item import LOST, REFUSED, Answer
from vlm_acceptance.accuracy.metrics import ShapeCounts
from vlm_acceptance.config.profile import Mmmu, Paired, PictureAblation, Reference, Shape
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least, is_at_most
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.stats.binomial import lower_limit, upper_limit

MAX_EXAMPLES = 5


def _of(share: float, total: int) -> Fraction:
    """The exact share of a total by the decimal digits of the share: the float 0.29 of 100 is less than 29."""
    return Fraction(str(share)) * total


@dataclass(frozen=True, slots=True)
class Limits:
    """Fewest and most right answers, both allowed, and where the limits come from."""

    low: int
    high: int
    basis: str


def limits_of(wanted: Mmmu, references: Mapping[str, Reference], total: int) -> Limits:
    """The profile's own numbers, else the exact binomial bounds against its reference."""
    low, high = wanted.min_correct, wanted.max_correct
    if low is not None and high is not None:
        return Limits(low, high, "the profile's numbers (mmmu.min_correct, mmmu.max_correct)")
    wanted.require_limits(references)
    name, reference = wanted.reference_among(references)
    assert reference is not None and reference.correct is not None and reference.total is not None
    basis = f"{reference.correct} of {reference.total} ({reference.source or name})"
    if not wanted.protocol.startswith(reference.protocol):
        basis += f", which protocol {reference.protocol} measured and not {wanted.protocol}"
    below, above = "the profile's mmmu.min_correct below", "the profile's mmmu.max_correct above"
    if low is None:
        low = lower_limit(reference.correct, reference.total, total, wanted.alpha)
        below = f"exact binomial, one-sided {100 * wanted.alpha:g} % below"
    if high is None:
        high = upper_limit(reference.correct, reference.total, total, wanted.ceiling_alpha)
        above = f"{100 * wanted.ceiling_alpha:g} % above"
    return Limits(low, high, f"{basis}; {below}, {above}")


def incomplete(total: int, answers: Mapping[str, Answer], retried: float) -> str:
    """Lost requests, unsent questions, or more than the share `retried` of requests that were sent again."""
    lost = [answer for answer in answers.values() if answer.status == LOST]
    again = [answer for answer in answers.values() if answer.attempts]
    parts = []
    if lost:
        causes = Counter(answer.error.partition(":")[0] for answer in lost).most_common(3)
        counts = ", ".join(f"{count} x {cause}" for cause, count in causes)
        parts.append(f"{len(lost)} of {total} requests got no whole response ({counts}), first {lost[0].id}")
    if len(answers) < total:
        parts.append(f"{total - len(answers)} of {total} questions were not asked")
    if len(again) > _of(retried, total):
        parts.append(
            f"{len(again)} of {total} requests broke before the first byte and were sent again, more than "
            f"{100 * retried:g}% (first {again[0].id}: {trimmed(again[0].attempts[0], 120)})"
        )
    return "; ".join(parts)


def refusals(total: int, answers: Mapping[str, Answer]) -> list[Finding]:
    """The server gives every question a completion and no error."""
    refused = [answer for answer in answers.values() if answer.status == REFUSED]
    if not refused:
        return []
    observed = f"{len(refused)} refused, this one with {trimmed(refused[0].error, 200)}"
    return [Finding(kinds.ACCURACY_REFUSED, f"a completion for each of {total} questions", observed, refused[0].id)]


def score_too_low(right: int, total: int, limits: Limits) -> list[Finding]:
    """At least as many right answers as the lower limit."""
    if is_at_least(right, limits.low):
        return []
    expected = f"at least {limits.low} of {total} right ({limits.basis})"
    return [Finding(kinds.ACCURACY_SCORE, expected, f"{right} of {total} = {right / total:.1%}")]


def score_too_high(right: int, total: int, limits: Limits) -> str:
    """More right answers than the upper limit, which puts the protocol in doubt."""
    if is_at_most(right, limits.high):
        return ""
    doubt = "check the protocol, the data and the reference before you trust this score"
    return f"{right} of {total} right, more than {limits.high} ({limits.basis}): {doubt}"


def wrong_shape(seen: ShapeCounts, limits: Shape) -> list[Finding]:
    """The answers look like those of a model that reads the questions: each share is within its limit."""
    answered, choices = seen.answered, seen.choice_answers
    rows = [
        (kinds.ACCURACY_UNRESOLVED, "choices that name no option", seen.choice_unresolved, choices, limits.unresolved),
        (kinds.ACCURACY_EMPTY, "empty answers", seen.empty, answered, limits.empty),
        (kinds.ACCURACY_TRUNCATED, "answers cut by max_tokens", seen.truncated, answered, limits.truncated),
        (kinds.ACCURACY_DECLINED, "answers that decline", seen.declined, answered, limits.declined),
        (kinds.ACCURACY_OPEN_A, "open questions answered with a bare A", seen.open_a, seen.open_answers, limits.open_a),
    ]  # fmt: skip
    found = [
        Finding(kind, f"at most {100 * limit:g}% {what}", f"{count} of {total} = {count / total:.1%}")
        for kind, what, count, total, limit in rows
        if total and count > _of(limit, total)
    ]
    return found + _one_letter(seen, limits)


def _one_letter(seen: ShapeCounts, limits: Shape) -> list[Finding]:
    read = sum(seen.letters.values())
    if not read:
        return []
    histogram = ", ".join(f"{letter} {count}" for letter, count in sorted(seen.letters.items()))
    letter, count = seen.letters.most_common(1)[0]
    if count > _of(limits.top_letter, read):
        expected = f"no letter in more than {100 * limits.top_letter:g}% of the choices"
        return [Finding(kinds.ACCURACY_ONE_LETTER, expected, f"{letter} in {count} of {read}: {histogram}")]
    if len(seen.letters) < limits.letters:
        return [Finding(kinds.ACCURACY_FEW_LETTERS, f"at least {limits.letters} letters used", histogram)]
    return []


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Prompt tokens of one question: `seen` in its answer, `small_seen` with pictures of one tile, `text` without any.

    `pictures` and `small_pictures` are the tokens of the tiles by the formula.
    """

    id: str
    seen: int | None
    pictures: int
    small_seen: int | None
    small_pictures: int
    text: int | None

    @property
    def beside(self) -> int | None:
        """Tokens of the prompt beside its tiles; None if they were not counted."""
        return None if self.small_seen is None else self.small_seen - self.small_pictures

    def is_wrong(self, tile: int) -> bool:
        """Whether the tiles cost other tokens than by the formula, or those of the small pictures are not there."""
        if self.seen is None or self.beside is None:
            return self.seen is None
        return self.seen - self.beside != self.pictures or self.lacks_small_pictures(tile)

    def lacks_small_pictures(self, tile: int) -> bool:
        """Whether the pictures of one tile cost about another number of tiles, compared with the text alone.

        Only about: a prompt with a picture may be encoded into some tokens more or less than its text alone.
        """
        if self.beside is None or self.text is None:
            return False
        return not 2 * abs(self.beside - self.text) < tile


def wrong_tokens(rows: Iterable[TokenCount], tile: int) -> list[Finding]:
    """Prompt tokens of every answer are those of its prompt beside the tiles and of its tiles by the formula.

    A missing usage is wrong; `uncounted_tokens` has the questions that cannot be judged.
    """
    wrong = [row for row in rows if row.is_wrong(tile)]
    found = [_wrong_count(row, tile) for row in wrong[:MAX_EXAMPLES]]
    if len(wrong) > MAX_EXAMPLES:
        found.append(Finding(kinds.ACCURACY_TOKENS, "no answer with other counts", f"{len(wrong)} answers in all"))
    return found


def _wrong_count(row: TokenCount, tile: int) -> Finding:
    expected = f"{row.pictures} tokens of pictures beside those of the text"
    if row.seen is None or row.beside is None:
        return Finding(kinds.ACCURACY_TOKENS, expected, "no usage in the answer", row.id)
    if row.lacks_small_pictures(tile):
        expected = f"about {row.small_pictures} tokens of pictures of one tile each"
        seen = f"{row.small_seen} prompt tokens with them, {row.text} without"
        return Finding(kinds.ACCURACY_TOKENS, expected, seen, row.id)
    seen = f"{row.seen - row.beside} ({row.seen} prompt tokens, {row.beside} beside the pictures)"
    return Finding(kinds.ACCURACY_TOKENS, expected, seen, row.id)


def uncounted_tokens(rows: Iterable[TokenCount]) -> str:
    """Questions whose prompt was not counted, with pictures of one tile or without any."""
    missing = [row for row in rows if row.seen is not None and (row.small_seen is None or row.text is None)]
    return f"the prompt of {len(missing)} questions was not counted, first {missing[0].id}" if missing else ""


def ignores_pictures(right: int, blank: int, questions: int, wanted: PictureAblation) -> list[Finding]:
    """Picture ablation: the same questions with blank pictures score lower by at least the margin."""
    if right - blank >= _of(wanted.margin, questions):
        return []
    expected = f"at least {100 * wanted.margin:g}% fewer right answers on blank pictures"
    observed = f"{right} of {questions} with pictures, {blank} with blank ones"
    return [Finding(kinds.ACCURACY_ABLATION, expected, observed)]


def worse_than_baseline(seen: Comparison, wanted: Paired) -> list[Finding]:
    """The loss against a stored run is not significant and, if the profile requires it, smaller than the margin."""
    counts = f"{len(seen.lost)} lost and {len(seen.gained)} gained of {seen.compared}"
    observed = "{}, p = {:.3g}, difference {:+.1%} to {:+.1%}".format(counts, seen.p, *seen.interval)
    if not is_at_least(seen.p, wanted.alpha):
        expected = f"p of at least {wanted.alpha:g} (exact McNemar)"
        observed += f"; lost {', '.join(seen.lost[:MAX_EXAMPLES])} …"
        return [Finding(kinds.ACCURACY_PAIRED, expected, observed)]
    if wanted.require_margin and not seen.rules_out(wanted.margin):
        return [Finding(kinds.ACCURACY_MARGIN, f"a loss of {100 * wanted.margin:g}% ruled out at 5 %", observed)]
    return []


def unlike_golden_answers(golden: Mapping[str, str], answers: Mapping[str, Answer]) -> list[Finding]:
    """Every golden answer is given exactly."""
    texts = {ident: answers[ident].text if ident in answers else None for ident in golden}
    return [
        Finding(kinds.ACCURACY_GOLDEN, repr(golden[ident]), trimmed("no answer" if text is None else text), ident)
        for ident, text in texts.items()
        if text is None or text.strip() != golden[ident]
    ]


def unlike_golden_scores(golden: Mapping[str, int], seen: Mapping[str, int]) -> list[Finding]:
    """Every scorer finds the golden number of right answers."""
    return [
        Finding(kinds.ACCURACY_GOLDEN_SCORE, f"{right} right by {scorer}", f"{seen.get(scorer)}", scorer)
        for scorer, right in golden.items()
        if seen.get(scorer) != right
    ]


def most_answers(seen: ShapeCounts) -> str:
    """What more than half of the answers look like, for the message of an early stop; '' if they look ordinary."""
    rows = (
        ("are empty", seen.empty, seen.answered),
        ("name no option", seen.choice_unresolved, seen.choice_answers),
        ("are cut by max_tokens", seen.truncated, seen.answered),
        ("decline", seen.declined, seen.answered),
        (f"are {seen.top_letter}", max(seen.letters.values(), default=0), seen.choice_answers),
    )
    return next((f"; {count} of {of} answers {look}" for look, count, of in rows if 2 * count > of), "")
