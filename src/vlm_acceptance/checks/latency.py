"""Median times of answers against budgets: to the first token, per token after it, and end to end.

A median over its budget is a finding only if it is still over it without what waiting for a processor can explain.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from vlm_acceptance.config.profile import Budget
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NS, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, is_figure, middle
from vlm_acceptance.core.waiting import ProcessorReading, Waited, around

FEWEST_FOR_TPOT = 8
STREAM_S = 0.5
LATEST_SHARE = 0.8
# Faster than any decoder: text that arrived at this pace arrived at once.
BURST_TPOT_S = 0.0001
# blocks of events from a buffer: so many events at least, in so many blocks, most of them of one size
LARGE_BLOCK, FEWEST_BLOCKS, MOST_BLOCKS, BLOCK_SPREAD = 8, 5, 0.6, 0.34
STREAMED = "text streamed as it is generated"
FIGURES = {"ttft_s": "time to first token", "tpot_s": "time per output token", "e2e_s": "end to end"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one answer in seconds, and its tokens; None if not known.

    `waited` has for each time what was waited for a processor during it; empty if that was not observed.
    """

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float
    tokens: int | None
    waited: Mapping[str, Waited] = field(default_factory=dict)

    def explained_s(self, name: str) -> float:
        """How much of one of its times waiting can explain; of a time per token, its part."""
        waited = self.waited.get(name)
        if waited is None:
            return 0.0
        return waited.explained_s / max(1, (self.tokens or 2) - 1) if name == "tpot_s" else waited.explained_s


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """The report of a category: medians in seconds of `n` warm answers, the first (cold) one, tokens of the last.

    `waited_s` is the median of what waiting for a processor can explain of the answers; None if unobserved.
    """

    n: int
    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None
    cold_ttft_s: float | None
    cold_e2e_s: float
    tokens: int | None
    waited_s: float | None = None


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
    pace = None if is_figure(pace) and pace < BURST_TPOT_S else pace
    return Sample(reply.ttft_s, pace, reply.elapsed_s, tokens, _waited(reply))


def _waited(reply: Reply) -> dict[str, Waited]:
    exchange, stamps = reply.exchange, reply.delta_ns
    if exchange is None:
        return {}
    spans = {"e2e_s": (exchange.started_ns, exchange.finished_ns)}
    if stamps:
        spans |= {"ttft_s": (exchange.started_ns, stamps[0]), "tpot_s": (stamps[0], stamps[-1])}
    return _observed(exchange.readings, spans)


def _observed(readings: Sequence[ProcessorReading], spans: Mapping[str, tuple[int, int]]) -> dict[str, Waited]:
    seen = {name: around(readings, *span) for name, span in spans.items()}
    return {name: waited for name, waited in seen.items() if waited is not None and waited.is_observed}


def waits_of(
    sample: Sample, processors: Sequence[ProcessorReading], began_ns: int, own_s: float | None
) -> dict[str, Waited]:
    """What was waited during each time of an answer that began at `began_ns`: `own_s` by its thread, and the engine's.

    Where the engine was not read, only what the thread waited; empty if neither is known.
    """
    ended_ns = began_ns + round(sample.e2e_s * NS)
    first_ns = ended_ns if sample.ttft_s is None else began_ns + round(sample.ttft_s * NS)
    spans = {"ttft_s": (began_ns, first_ns), "tpot_s": (first_ns, ended_ns), "e2e_s": (began_ns, ended_ns)}
    seen = {name: around(processors, *span) or Waited((span[1] - span[0]) / NS) for name, span in spans.items()}
    waits = {name: replace(waited, own_s=own_s) for name, waited in seen.items()}
    return {name: waited for name, waited in waits.items() if waited.is_observed}


def without_waits(sample: Sample, waited: Mapping[str, Waited]) -> Sample:
    """The times of an answer without what waiting for a processor explains of each."""
    seen = replace(sample, waited=waited)
    times = {name: value for name in FIGURES if (value := getattr(seen, name)) is not None}
    return replace(seen, **{name: max(value - seen.explained_s(name), 0.0) for name, value in times.items()})


def median_of(samples: Sequence[Sample]) -> dict[str, Figure]:
    """One Figure for each of FIGURES, over the samples that have the value."""
    columns = {name: [x for one in samples if (x := getattr(one, name)) is not None] for name in FIGURES}
    return {name: Figure(middle(values) if values else None, len(values)) for name, values in columns.items()}


def row_of(cold: Sample, warm: Sequence[Sample]) -> LatencyRow:
    """The row of one category."""
    ttft, tpot, e2e = (figure.median_s for figure in median_of(warm).values())
    waits = [one.explained_s("e2e_s") for one in warm if one.waited]
    waited_s = middle(waits) if waits else None
    return LatencyRow(len(warm), ttft, tpot, e2e, cold.ttft_s, cold.e2e_s, warm[-1].tokens, waited_s)


def within(budget: Budget, samples: Sequence[Sample], what: str) -> list[Finding]:
    """Medians above their budget, and budgets that cannot be judged because there is no stream or no sample.

    Not here is a median that may be over its budget only because of waiting for a processor: see `starved`.
    """
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
        if _over(name, bound, samples, without_waits=True):
            expected, seen = f"{FIGURES[name]} within {bound:g} s (median)", str(figures[name])
            if any(one.explained_s(name) > 0 for one in samples):
                seen += f", {_unexplained_s(name, samples):.4g} s without what waiting for a processor explains"
            found.append(Finding(kinds.BY_ID[f"latency.{name.removesuffix('_s')}"], expected, seen, what))
    return found


def starved(budget: Budget, samples: Sequence[Sample], what: str) -> str:
    """Why medians over their budget say nothing about the deployment: waiting explains the excess; '' otherwise."""
    bounds = budget.model_dump(exclude_none=True)
    excused = [
        (name, bound)
        for name, bound in bounds.items()
        if _over(name, bound, samples) and not _over(name, bound, samples, without_waits=True)
    ]
    if not excused:
        return ""
    seen = "; ".join(f"{FIGURES[name]} {median_of(samples)[name]}, budget {bound:g} s" for name, bound in excused)
    spans = sorted((one.waited["e2e_s"] for one in samples if one.waited), key=lambda waited: waited.explained_s)
    return f"machine busy: {spans[len(spans) // 2]}; {what}: {seen}"


def _over(name: str, bound: float, samples: Sequence[Sample], without_waits: bool = False) -> bool:
    value = _unexplained_s(name, samples) if without_waits else median_of(samples)[name].median_s
    return value is not None and not is_at_most(value, bound)


def _unexplained_s(name: str, samples: Sequence[Sample]) -> float | None:
    """The median of one time without what waiting explains of it."""
    values = [(getattr(one, name), one.explained_s(name)) for one in samples]
    rest = [value - explained for value, explained in values if value is not None]
    return middle(rest) if rest else None


def flows(reply: Reply) -> list[Finding]:
    """The text of a long answer arrives as it is generated: its first part not in the last fifth of the time.

    That is not judged below STREAM_S seconds: on a busy machine, all of a short answer may be read at once. Nor does
    it arrive in blocks of one size, each of many events, as from a buffer on the way.
    """
    frames = reply.exchange.frames if reply.exchange else ()
    if block := _block([frame.at_ns for frame in frames]):
        seen = f"in blocks of {block} events that arrive at once: something on the way buffers"
        return [Finding(kinds.LATENCY_NO_STREAM, STREAMED, seen)]
    latest_s = LATEST_SHARE * reply.elapsed_s
    if is_figure(latest_s) and (reply.elapsed_s < STREAM_S or is_at_most(reply.ttft_s, latest_s)):
        return []
    seen = "no text"
    if reply.ttft_s is not None:
        seen = f"the first text after {reply.ttft_s:.2f} s of {reply.elapsed_s:.2f} s"
    return [Finding(kinds.LATENCY_NO_STREAM, STREAMED, seen)]


def _block(stamps: Sequence[int]) -> int:
    """How many events arrive at once, if nearly all do so in blocks of about one size; 0 otherwise.

    A server sends each event as a chunk of its own, which is read alone even if the reader is late.
    """
    sizes = [len(list(same)) for _, same in groupby(stamps)][:-1]
    if len(sizes) < FEWEST_BLOCKS:
        return 0
    usual = int(statistics.median(sizes))
    alike = sum(abs(size - usual) <= usual * BLOCK_SPREAD for size in sizes)
    return usual if usual >= LARGE_BLOCK and alike >= MOST_BLOCKS * len(sizes) else 0
