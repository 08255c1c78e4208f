"""Steps of a rising load, and whether the budgets hold in them.

A percentile is above its limit if more answers are beyond the limit than chance explains (exact binomial, ALPHA). A
step is lost only if it is lost twice in a row.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vlm_acceptance.checks.hang import Hang
from vlm_acceptance.checks.latency import Sample, without_waits
from vlm_acceptance.checks.load import BEYOND, QUANTILES, Percentiles, percentiles
from vlm_acceptance.config.ladder_sections import StepBudgets
from vlm_acceptance.config.profile_sections import Limits
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.numbers import is_at_most, is_figure
from vlm_acceptance.core.waiting import Waited, explained_share
from vlm_acceptance.stats.quantiles import is_above

# of one percentile of one step; a step must be lost twice
ALPHA = 0.01
TIMES = {"ttft_s": "time to first token", "tpot_s": "time per output token", "e2e_s": "end to end"}
# how a server refuses readably what is too much for it; 504 is the deadline of a gateway
OVERLOAD = (429, 503, 504)
LATE = "not answered within the deadline"
SHOWN = 3
# so that a rate over no time is a number
LEAST_S = 1e-6


class State(enum.Enum):
    """How a step ended. BUSY: the budgets were lost, but waiting for a processor explains it."""

    HELD = "held"
    LOST = "lost"
    BUSY = "machine busy"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request of a step: the times of its answer, or why there is none; `exchange` only where it is evidence.

    `pauses` are seconds between the chunks of a stream; `waited` is what was waited for a processor, by the names of
    times. The times of the first requests of a step are not measured: they all begin at once.
    """

    sample: Sample | None
    prompt_tokens: int | None = None
    pauses: tuple[float, ...] = ()
    failure: str = ""
    is_overload: bool = False
    is_starved: bool = False
    exchange: Exchange | None = field(default=None, compare=False, repr=False)
    waited: Mapping[str, Waited] = field(default_factory=dict)
    is_measured: bool = True

    def is_like(self, other: Taken) -> bool:
        """Whether prompt and answer have as many tokens as those of another."""
        tokens = [None if one.sample is None else one.sample.tokens for one in (self, other)]
        return tokens[0] == tokens[1] and self.prompt_tokens == other.prompt_tokens

    @property
    def without_waits(self) -> Taken:
        """The same, its times without what waiting for a processor explains."""
        if self.sample is None:
            return self
        whole = self.waited.get("e2e_s")
        left = max(0.0, 1 - explained_share([whole])) if whole else 1.0
        return replace(
            self,
            sample=without_waits(self.sample, self.waited),
            pauses=tuple(pause * left for pause in self.pauses),
        )


def failure_of(answer: NoReply) -> tuple[str, bool]:
    """Why a request has no answer, in few words without any text of the server; and whether it is mere overload."""
    exchange = answer.exchange
    if exchange is None:
        return "no answer", False
    if exchange.is_late:
        return LATE, True
    if exchange.error is not None:
        return f"connection: {exchange.error.kind}", False
    if exchange.status != 200:
        return f"HTTP {exchange.status}", exchange.status in OVERLOAD
    return "HTTP 200 without a readable, finished answer", False


@dataclass(frozen=True, slots=True)
class Step:
    """`concurrency` requests at once for `seconds` seconds: what was taken of each request, in the order of answers."""

    concurrency: int
    seconds: float
    taken: tuple[Taken, ...]
    hang: Hang | None = None

    @property
    def samples(self) -> list[Sample]:
        """Times of the answers that are measured."""
        return [one.sample for one in self.taken if one.sample is not None and one.is_measured]

    @property
    def tokens(self) -> int:
        """Output tokens of all answers that report them."""
        return sum(one.sample.tokens or 0 for one in self.taken if one.sample is not None)

    @property
    def failures(self) -> Counter[str]:
        """Requests without an answer by cause, without starved ones."""
        return Counter(one.failure for one in self.taken if one.failure and not one.is_starved)

    @property
    def starved(self) -> int:
        """How many requests were not answered in time because the machine was busy."""
        return sum(one.is_starved for one in self.taken)

    @property
    def waits(self) -> list[Waited]:
        """What was waited for a processor during each measured answer, where it was read."""
        return [one.waited["e2e_s"] for one in self.taken if "e2e_s" in one.waited and one.is_measured]

    @property
    def without_waits(self) -> Step:
        """The same step without what waiting for a processor explains, and without starved requests."""
        return replace(self, taken=tuple(one.without_waits for one in self.taken if not one.is_starved))

    def times(self, name: str) -> list[float]:
        """One time of all measured answers that have it, in seconds."""
        return [value for one in self.samples if (value := getattr(one, name)) is not None]

    @property
    def pauses(self) -> list[float]:
        """Seconds between the chunks of all measured streams."""
        return [pause for one in self.taken if one.is_measured for pause in one.pauses]

    @property
    def row(self) -> dict[str, Any]:
        """The figures of the step as JSON: percentiles by name, rates, failures by cause."""
        seen = {name: _json(percentiles(self.times(name))) for name in TIMES}
        seconds = max(self.seconds, LEAST_S)
        return {
            "concurrency": self.concurrency,
            "seconds": round(self.seconds, 3),
            "requests": len(self.taken),
            **seen,
            "itl_s": _json(percentiles(self.pauses)),
            "requests_per_s": round(sum(one.sample is not None for one in self.taken) / seconds, 3),
            "output_tokens_per_s": round(self.tokens / seconds, 2),
            "failures": dict(self.failures),
        }


def _json(seen: Percentiles | None) -> dict[str, float | int] | None:
    if seen is None or not all(map(is_figure, (seen.p50, seen.p90, seen.p99))):
        return None
    return {**{name: round(getattr(seen, name), 6) for name in QUANTILES}, "n": seen.n}


def state_of(step: Step, budgets: StepBudgets) -> State:
    """Whether the budgets hold in this step."""
    if not losses(step, budgets):
        return State.HELD
    return State.LOST if step.hang or losses(step.without_waits, budgets) else State.BUSY


def losses(step: Step, budgets: StepBudgets) -> list[str]:
    """Which budgets a step loses, in words; no answer at all loses every budget."""
    if step.hang is not None:
        return ["the deployment hangs"]
    found, count = [], step.failures.total() + step.starved
    if not is_at_most(count, budgets.errors * len(step.taken)):
        found.append(f"{count} of {len(step.taken)} without an answer ({causes_of(step)})")
    for name, title in TIMES.items():
        found += _above(getattr(budgets, name), step.times(name), title)
    return [*found, *_long_pauses(budgets.itl_s, step.pauses)]


def causes_of(step: Step) -> str:
    """Failures by cause, the most frequent ones first."""
    causes = [f"{count} x {cause}" for cause, count in step.failures.most_common(SHOWN)]
    return ", ".join([*causes, *([f"{step.starved} x {LATE}: machine busy"] if step.starved else [])])


def _above(limits: Limits, values: Sequence[float], title: str) -> list[str]:
    found = []
    for name, bound in limits.model_dump(exclude_none=True).items():
        beyond = sum(not is_at_most(value, bound) for value in values)
        if not values:
            found.append(f"{title}: no data")
        elif is_above(beyond, len(values), QUANTILES[name], ALPHA):
            found.append(f"{title}: {beyond} of {len(values)} above the {name} budget of {bound:g} s")
    return found


def _long_pauses(limits: Limits, pauses: Sequence[float]) -> list[str]:
    """Percentiles of pauses that are above their limits: those of one answer are alike, so chance is not computed."""
    seen = percentiles(pauses)
    if seen is None:
        return ["pause between tokens: no data"] if limits != Limits() else []
    return [
        f"pause between tokens: {name} {getattr(seen, name):.4g} s, budget {bound:g} s"
        for name, bound in limits.model_dump(exclude_none=True).items()
        if seen.n * (1 - QUANTILES[name]) >= BEYOND and not is_at_most(getattr(seen, name), bound)
    ]


@dataclass(frozen=True, slots=True)
class Rung:
    """A concurrency of the ladder: its step and, if that lost its budgets, the repeated one, with how each ended."""

    steps: tuple[tuple[Step, State], ...]

    @property
    def concurrency(self) -> int:
        """How many requests were in flight at once."""
        return self.steps[0][0].concurrency

    @property
    def last(self) -> Step:
        """The step that decides."""
        return self.steps[-1][0]

    @property
    def state(self) -> State:
        """Held if one of the steps held; lost if two lost, or one hung."""
        states = [state for _, state in self.steps]
        if State.HELD in states:
            return State.HELD
        return State.BUSY if State.BUSY in states else State.LOST


@dataclass(frozen=True, slots=True)
class Climb:
    """The ladder of one kind of prompt, such as `text-512`, of so many prompt tokens (None: not reported).

    `left_out` are the concurrencies that were not run, `why_not` is why none was: the prompt cannot be sent. `broken`
    is the first request, if it got no answer.
    """

    name: str
    tokens: int | None = None
    rungs: tuple[Rung, ...] = ()
    left_out: tuple[int, ...] = ()
    broken: NoReply | None = None
    why_not: str = ""

    @property
    def held(self) -> int:
        """The greatest number of requests at once at which the budgets held; 0 for none."""
        return max((rung.concurrency for rung in self.rungs if rung.state is State.HELD), default=0)

    @property
    def capacity(self) -> int | None:
        """The same; None if it is not known, because the machine was busy or the prompt cannot be sent."""
        return None if self.is_busy or self.why_not else self.held

    @property
    def is_busy(self) -> bool:
        """Whether it ended because the machine was busy."""
        return bool(self.rungs) and self.rungs[-1].state is State.BUSY

    @property
    def hang(self) -> Hang | None:
        """The hang that ended it, if any."""
        return self.rungs[-1].last.hang if self.rungs else None

    def at(self, concurrency: int) -> Step | None:
        """The step that decided at this concurrency."""
        return next((rung.last for rung in self.rungs if rung.concurrency == concurrency), None)
