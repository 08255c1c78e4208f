"""Many requests at once: each has its own answer, none waits for ever, and how fast they were as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from vlm_acceptance.checks.answer import holds
from vlm_acceptance.checks.contamination import answers_another
from vlm_acceptance.checks.degeneracy import degenerate
from vlm_acceptance.checks.latency import Budget, Sample
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.severity import Severity
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.stats.binomial import lower_limit

SHOWN = 8
# A percentile is judged when so many samples lie beyond it.
BEYOND = 10
# of a question's pictures, for min_correct
PICTURES = 8
# a model that has exactly min_correct of each question right falls below the bar with this probability at most
MISSED = 0.001
FINISHED = ("stop", "length")
COUNTED = {"no_answer": kinds.LOAD_NO_ANSWER, "mixed_up": kinds.LOAD_MIXED_UP}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a load. Its answer is `known`, or holds each of `parts`; `shown` is what else may stand in it.

    Of a picture these are all planted words that it shows. One that is `demoted` is not counted: an answer that is
    merely wrong is no fault there.
    """

    id: str
    parts: tuple[tuple[str, ...], ...]
    shown: frozenset[str] = frozenset()
    known: str | None = None
    is_picture: bool = True
    demoted: bool = False

    def is_answered_by(self, text: str) -> bool:
        """Whether this is its own answer."""
        return text == self.known if self.known is not None else all(holds(text, part) for part in self.parts)

    def could_be(self, other: Asked, text: str) -> bool:
        """Whether a text that is not its own answer is the answer to another picture, which this one does not show."""
        if not other.is_picture or other.id == self.id:
            return False
        if other.known is not None:
            return text == other.known
        return answers_another(text, self.parts, self.shown, other.parts)


class Limits(Protocol):
    """Most seconds for percentiles; None is no bound."""

    @property
    def p50(self) -> float | None: ...
    @property
    def p90(self) -> float | None: ...
    @property
    def p99(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles in seconds and the number of samples they come from."""

    p50: float
    p90: float
    p99: float
    n: int

    def __str__(self) -> str:
        return f"p50 {self.p50:.4g}, p90 {self.p90:.4g}, p99 {self.p99:.4g} s (n={self.n})"


def finished(reply: Reply | NoReply) -> Reply | NoReply:
    """The same; a reply that neither stopped nor reached its length is none."""
    if isinstance(reply, NoReply) or reply.finish_reason in FINISHED:
        return reply
    return NoReply(f"an answer that was not finished: finish_reason {reply.finish_reason!r}")


def fault_of(
    asked: Asked, reply: Reply | NoReply, everyone: Sequence[Asked], special_tokens: Sequence[str] = ()
) -> Finding | None:
    """What is wrong with one answer of a load: none, degenerate, another's (all fatal), or not its own; None if right.

    `special_tokens` are the model's own.
    """
    if isinstance(reply, NoReply):
        return Finding(kinds.LOAD_NO_ANSWER, "an answer", str(reply), asked.id, reply.exchange)
    is_right = asked.is_answered_by(reply.text)
    if is_right and asked.known is not None:
        return None
    insane = degenerate(reply.text, special_tokens)
    if insane:
        return insane[0].at(asked.id).about(reply.exchange)
    if is_right:
        return None
    expected = trimmed(asked.known) if asked.known is not None else " and ".join("/".join(p) for p in asked.parts)
    owner = next((other for other in everyone if asked.could_be(other, reply.text)), None)
    if owner is not None:
        seen = f"the answer to {owner.id}: {trimmed(reply.text)}"
        return Finding(kinds.LOAD_MIXED_UP, expected, seen, asked.id, reply.exchange)
    if asked.demoted and asked.known is None:
        return None
    graded = Severity.FATAL if asked.known is not None else None
    return Finding(kinds.LOAD_ANSWER, expected, trimmed(reply.text), asked.id, reply.exchange, graded)


def own_answers(
    asked: Sequence[Asked], replies: Sequence[Reply | NoReply], min_correct: int, special_tokens: Sequence[str] = ()
) -> list[Finding]:
    """Every request is answered, none with another's answer or degenerate, and enough with their own; see `fewest`.

    Answers known to the letter must all be so.
    """
    faults = [fault_of(one, reply, asked, special_tokens) for one, reply in zip(asked, replies, strict=True)]
    total = sum(not one.demoted for one in asked)
    return counted([fault for fault in faults if fault is not None], total, fewest(total, min_correct))


def fewest(total: int, min_correct: int, different: int | None = None) -> int:
    """How many of `total` answers must be right, by the exact binomial limit for `min_correct` right of PICTURES.

    Where only so many are `different` and the others repeat them, the limit is as wide as for these.
    """
    drawn = total if different is None else min(total, different)
    if drawn == 0:
        return 0
    return math.ceil(lower_limit(min_correct, PICTURES, drawn, MISSED) * total / drawn)


def counted(wrong: Sequence[Finding], total: int, least: int) -> list[Finding]:
    """Findings of a load, of whose answers `total` count: all that are fatal, the others when fewer than `least` of
    them are right; a count, then a few.
    """
    fatal = [finding for finding in wrong if finding.fatal]
    right = max(0, total - len(wrong))  # what is fatal may be about one that does not count
    if not fatal and right >= least:
        return []
    by_kind = {name: sum(finding.kind is kind for finding in wrong) for name, kind in COUNTED.items()}
    seen = f"{right} of {total}; {by_kind['no_answer']} not answered, {by_kind['mixed_up']} with another's"
    expected = f"at least {least} of {total} with their own answers, none with another's"
    summary = Finding(kinds.LOAD_COUNT, expected, seen, graded=Severity.FATAL if fatal else None)
    return [summary, *sorted(wrong, key=lambda finding: (not finding.fatal, finding.kind is kinds.LOAD_ANSWER))[:SHOWN]]


def fair(exchanges: Mapping[str, Exchange], times: float, floor_s: float) -> list[Finding]:
    """No request took more than `times` the median of all and more than `floor_s` seconds."""
    if not exchanges:
        return []
    usual = median(exchange.elapsed_s for exchange in exchanges.values())
    bound = max(times * usual, floor_s)
    slow = [(name, one) for name, one in exchanges.items() if one.elapsed_s > bound]
    slow.sort(key=lambda row: (row[1].elapsed_s, row[0]), reverse=True)
    expected = f"each within {bound:.3g} s ({times:g} times the median {usual:.3g} s, or {floor_s:g} s)"
    return [Finding(kinds.LOAD_STARVED, expected, f"{one.elapsed_s:.3g} s", name, one) for name, one in slow[:SHOWN]]


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """The percentiles of QUANTILES, each a value that was seen; None without any."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p90, p99 = (ordered[math.ceil(len(ordered) * share) - 1] for share in QUANTILES.values())
    return Percentiles(p50, p90, p99, len(ordered))


def within(limits: Limits, seen: Percentiles | None, what: str) -> list[Finding]:
    """Percentiles above their limits; one with fewer than BEYOND samples beyond it is reported only."""
    found = []
    for name, share in QUANTILES.items():
        bound = getattr(limits, name)
        if bound is None:
            continue
        if seen is None:
            found.append(Finding(kinds.LOAD_NO_DATA, f"{what} sampled", "no data (n=0)", what))
        elif seen.n * (1 - share) >= BEYOND and getattr(seen, name) > bound:
            found.append(Finding(kinds.BY_ID[f"load.{what}"], f"{name} within {bound:g} s", str(seen), what))
    return found


def good(samples: Sequence[Sample], budget: Budget) -> int:
    """How many answers are within every latency budget that can be told of them."""
    return sum(_is_good(sample, budget) for sample in samples)


def at_least(what: str, seen: float, least: float | None, unit: str) -> list[Finding]:
    """A rate or share that reaches its bound, where there is one."""
    if least is None or seen >= least:
        return []
    return [Finding(kinds.BY_ID[f"load.{what}"], f"at least {least:g} {unit}", f"{seen:.4g} {unit}")]


def errors_within(errors: int, total: int, share: float) -> list[Finding]:
    """At most the share `share` of all requests has no answer."""
    if errors <= share * total:
        return []
    return [Finding(kinds.LOAD_ERRORS, f"at most {share:.2%} without an answer", f"{errors} of {total}")]


def _is_good(sample: Sample, budget: Budget) -> bool:
    pairs = ((sample.ttft_s, budget.ttft_s), (sample.tpot_s, budget.tpot_s), (sample.e2e_s, budget.e2e_s))
    return all(value is None or bound is None or value <= bound for value, bound in pairs)
