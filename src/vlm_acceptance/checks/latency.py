"""Median times of answers against budgets: to the first token, per token after it, and end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vlm_acceptance.config.profile import Budget
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Reply
from vlm_acceptance.core.finding import Finding

FEWEST_FOR_TPOT = 8
STREAM_S = 0.5
LATEST_SHARE = 0.8
# Faster than any decoder: text that arrived at this pace arrived at once.
BURST_TPOT_S = 0.0001
STREAMED = "text streamed as it is generated"
FIGURES = {"ttft_s": "time to first token", "tpot_s": "time per output token", "e2e_s": "end to end"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one answer in seconds, and its tokens; None if not known."""

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float
    tokens: int | None


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """The report of a category: medians in seconds of `n` warm answers, the first (cold) one, tokens of the last."""

    n: int
    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None
    cold_ttft_s: float | None
    cold_e2e_s: float
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over the `n` samples that have the value; None if no sample has it."""

    median_s: float | None
    n: int

    def __str__(self) -> str:
        return "no data (n=0)" if self.median_s is None else f"{self.median_s:.4g} s (n={self.n})"


def from_reply(reply: Reply) -> Sample:
    """Times of an answer; no time per token below FEWEST_FOR_TPOT tokens or if all arrived at once."""
    tokens = reply.usage.completion if reply.usage else None
    pace = reply.tpot_s if tokens is not None and tokens >= FEWEST_FOR_TPOT else None
    return Sample(reply.ttft_s, pace if pace and pace >= BURST_TPOT_S else None, reply.elapsed_s, tokens)


def median_of(samples: Sequence[Sample]) -> dict[str, Figure]:
    """One Figure for each of FIGURES, over the samples that have the value."""
    columns = {name: [x for one in samples if (x := getattr(one, name)) is not None] for name in FIGURES}
    return {name: Figure(median(values) if values else None, len(values)) for name, values in columns.items()}


def row_of(cold: Sample, warm: Sequence[Sample]) -> LatencyRow:
    """The row of one category."""
    ttft, tpot, e2e = (figure.median_s for figure in median_of(warm).values())
    return LatencyRow(len(warm), ttft, tpot, e2e, cold.ttft_s, cold.e2e_s, warm[-1].tokens)


def within(budget: Budget, samples: Sequence[Sample], what: str) -> list[Finding]:
    """Medians above their budget, and budgets that cannot be judged because there is no stream or no sample."""
    bounds = budget.model_dump(exclude_none=True)
    if not bounds:
        return []
    if not samples:
        return [Finding(kinds.LATENCY_NO_DATA, f"times of {what}", "no data (n=0)", what)]
    figures = median_of(samples)
    found = []
    if {"ttft_s", "tpot_s"} & bounds.keys() and figures["ttft_s"].n == 0:
        seen = f"no streamed text in {len(samples)} answers: {FIGURES['ttft_s']} is not known"
        found.append(Finding(kinds.LATENCY_NO_STREAM, STREAMED, seen, what))
    for name, bound in bounds.items():
        figure = figures[name]
        if figure.median_s is not None and figure.median_s > bound:
            expected = f"{FIGURES[name]} within {bound:g} s (median)"
            found.append(Finding(kinds.BY_ID[f"latency.{name.removesuffix('_s')}"], expected, str(figure), what))
    return found


def flows(reply: Reply) -> list[Finding]:
    """The text of a long answer arrives as it is generated: its first part not in the last fifth of the time.

    Not judged below STREAM_S seconds: on a busy machine, all of a short answer may be read at once.
    """
    if reply.elapsed_s < STREAM_S or (reply.ttft_s is not None and reply.ttft_s <= LATEST_SHARE * reply.elapsed_s):
        return []
    seen = "no text"
    if reply.ttft_s is not None:
        seen = f"the first text after {reply.ttft_s:.2f} s of {reply.elapsed_s:.2f} s"
    return [Finding(kinds.LATENCY_NO_STREAM, STREAMED, seen)]
