"""Many requests at once: each gets its own answer, no request starves, and percentiles of their times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.answer import holds
from vlm_acceptance.checks.contamination import answers_another
from vlm_acceptance.checks.degeneracy import degenerate
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.config.profile_sections import Limits
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least, is_at_most, is_figure, middle
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.stats.binomial import lower_limit

SHOWN = 8
# a percentile is judged if so many samples lie beyond it
BEYOND = 10
# pictures of a question, for min_correct
PICTURES = 8
# highest probability that a model with exactly min_correct right of each question falls below the bar by chance
MISSED = 0.001
FINISHED = ("stop", "length")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a load. Its answer is exactly `golden`, or holds each of `parts`.

    `shown` are all planted words that its picture shows. A merely wrong answer to a `report_only` request is ignored.
    """

    id: str
    parts: tuple[tuple[str, ...], ...]
    shown: frozenset[str] = frozenset()
    golden: str | None = None
    is_picture: bool = True
    report_only: bool = False

    def is_answered_by(self, text: str) -> bool:
        """Whether this is its own answer."""
        return text == self.golden if self.golden is not None else all(holds(text, part) for part in self.parts)

    def could_be(self, other: Asked, text: str) -> bool:
        """Whether a text that is not its own answer is that of another picture, not shown by this one."""
        if not other.is_picture or other.id == self.id:
            return False
        if other.golden is not None:
            return text == other.golden
        return answers_another(text, self.parts, self.shown, other.parts)


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
    """The same; NoReply if it neither stopped nor reached its length."""
    if isinstance(reply, NoReply) or reply.finish_reason in FINISHED:
        return reply
    return NoReply(f"an answer that was not finished: finish_reason {reply.finish_reason!r}", reply.exchange)


def fault_of(
    asked: Asked, reply: Reply | NoReply, everyone: Sequence[Asked], special_tokens: Sequence[str] = ()
) -> Finding | None:
    """What is wrong with one answer: missing, degenerate, another request's (all fatal), or wrong; None if right."""
    if isinstance(reply, NoReply):
        return Finding(kinds.LOAD_NO_ANSWER, "an answer", str(reply), asked.id, reply.exchange)
    is_right = asked.is_answered_by(reply.text)
    if is_right and asked.golden is not None:
        return None
    broken = degenerate(reply.text, special_tokens)
    if broken or is_right:
        return broken[0].at(asked.id).about(reply.exchange) if broken else None
    expected = trimmed(asked.golden) if asked.golden is not None else " and ".join("/".join(p) for p in asked.parts)
    owner = next((other for other in everyone if asked.could_be(other, reply.text)), None)
    if owner is not None:
        seen = f"the answer to {owner.id}: {trimmed(reply.text)}"
        return Finding(kinds.LOAD_MIXED_UP, expected, seen, asked.id, reply.exchange)
    if asked.report_only and asked.golden is None:
        return None
    graded = kinds.FATAL if asked.golden is not None else None
    return Finding(kinds.LOAD_ANSWER, expected, trimmed(reply.text), asked.id, reply.exchange, graded)


def own_answers(
    asked: Sequence[Asked], replies: Sequence[Reply | NoReply], min_correct: int, special_tokens: Sequence[str] = ()
) -> list[Finding]:
    """Every request is answered, no answer is degenerate or another request's, and enough are right; see `fewest`.

    A wrong answer where an exact one is stored is fatal.
    """
    faults = [fault_of(one, reply, asked, special_tokens) for one, reply in zip(asked, replies, strict=True)]
    total = sum(not one.report_only for one in asked)
    return counted([fault for fault in faults if fault is not None], total, fewest(total, min_correct))


def fewest(total: int, min_correct: int, different: int | None = None) -> int:
    """How many of `total` answers must be right, by the exact binomial limit for `min_correct` right of PICTURES.

    If only `different` of them differ and the others are repeats, the limit is as wide as for that many.
    """
    drawn = total if different is None else min(total, different)
    return math.ceil(lower_limit(min_correct, PICTURES, drawn, MISSED) * total / drawn) if drawn else 0


def counted(wrong: Sequence[Finding], total: int, least: int) -> list[Finding]:
    """A summary and the first few findings, if one is fatal or fewer than `least` of `total` answers are right.

    Starved requests count neither as right nor as wrong; they are returned where the others are not too few.
    """
    starved = [finding for finding in wrong if finding.is_starved]
    fatal = [finding for finding in wrong if finding.fatal and not finding.is_starved]
    right = max(0, total - len(wrong))  # a fatal finding may be about an answer that does not count
    if not fatal and right + len(starved) >= least:
        return starved[:SHOWN]
    missing, swapped = (sum(one.kind is kind for one in wrong) for kind in (kinds.LOAD_NO_ANSWER, kinds.LOAD_MIXED_UP))
    seen = f"{right} of {total}; {missing} not answered, {swapped} with another's"
    expected = f"at least {least} of {total} with their own answers, none with another's"
    summary = Finding(kinds.LOAD_COUNT, expected, seen, graded=kinds.FATAL if fatal else None)
    return [summary, *sorted(wrong, key=lambda finding: (not finding.fatal, finding.kind is kinds.LOAD_ANSWER))[:SHOWN]]


def fair(
    exchanges: Mapping[str, Exchange], times: float, floor_s: float, *, without_waits: bool = False
) -> list[Finding]:
    """No request took more than both `times` the median of all and `floor_s` seconds.

    With `without_waits` the time that waiting for a processor explains is taken off each.
    """
    if not exchanges:
        return []
    usual = middle(exchange.elapsed_s for exchange in exchanges.values())
    bound = max(times * usual, floor_s)
    seconds = {name: one.elapsed_s - (_explained_s(one) if without_waits else 0) for name, one in exchanges.items()}
    slow = sorted(
        (name for name in seconds if not is_at_most(seconds[name], bound)), key=lambda name: (-seconds[name], name)
    )
    expected = f"each within {bound:.3g} s ({times:g} times the median {usual:.3g} s, or {floor_s:g} s)"
    return [Finding(kinds.LOAD_STARVED, expected, f"{seconds[name]:.3g} s", name, exchanges[name]) for name in slow]


def _explained_s(exchange: Exchange) -> float:
    return exchange.waited.explained_s if exchange.waited is not None else 0.0


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """The percentiles of QUANTILES, each a value that occurred; None without values, NaN if a value is no figure."""
    if not values:
        return None
    if not all(map(is_figure, values)):
        return Percentiles(math.nan, math.nan, math.nan, len(values))
    ordered = sorted(values)
    p50, p90, p99 = (ordered[math.ceil(len(ordered) * share) - 1] for share in QUANTILES.values())
    return Percentiles(p50, p90, p99, len(ordered))


def within(limits: Limits, seen: Percentiles | None, what: str) -> list[Finding]:
    """Percentiles above their limits; not judged are those with fewer than BEYOND samples beyond them."""
    found = []
    for name, bound in limits.model_dump(exclude_none=True).items():
        if seen is None:
            found.append(Finding(kinds.LOAD_NO_DATA, f"samples of {what}", "no data (n=0)", what))
        elif seen.n * (1 - QUANTILES[name]) >= BEYOND and not is_at_most(getattr(seen, name), bound):
            found.append(Finding(kinds.BY_ID[f"load.{what}"], f"{name} within {bound:g} s", str(seen), what))
    return found


def good(samples: Sequence[Sample], budget: Budget) -> int:
    """How many answers are within every latency budget; a time that is not known is not compared."""
    bounds = budget.model_dump(exclude_none=True)
    return sum(all(is_at_most(getattr(one, name) or 0, bound) for name, bound in bounds.items()) for one in samples)


def at_least(what: str, seen: float, least: float | None, unit: str) -> list[Finding]:
    """A rate or share that reaches its bound, if it has one."""
    if least is None or is_at_least(seen, least):
        return []
    return [Finding(kinds.BY_ID[f"load.{what}"], f"at least {least:g} {unit}", f"{seen:.4g} {unit}")]


def errors_within(errors: int, total: int, share: float) -> list[Finding]:
    """At most the share `share` of all requests has no answer."""
    if is_at_most(errors, share * total):
        return []
    return [Finding(kinds.LOAD_ERRORS, f"at most {share:.2%} without an answer", f"{errors} of {total}")]
