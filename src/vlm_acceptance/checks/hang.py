"""A hang as clients see it: requests are in flight and nothing progresses; and slots that disconnected clients free."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.server_info import figure_of
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, is_figure
from vlm_acceptance.core.waiting import ProcessorReading, between

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
PROMPT, GENERATION = "vllm:prompt_tokens", "vllm:generation_tokens"
# a silent server lets a reading take seconds; what takes longer was a pause of the machine
LONGEST_GAP_S = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading, `at_s` seconds after the first: values of `/metrics`, None if it gave none, and our own counts of
    requests that are `done` and `in_flight`.

    `rss_mb` and `hbm_mb` are the memory of the engine's processes and of its card; None if not observed. `waits` are
    counters of the processor clock.
    """

    at_s: float
    figures: dict[str, float] | None
    done: int
    in_flight: int
    rss_mb: float | None = None
    hbm_mb: float | None = None
    waits: ProcessorReading | None = None

    @property
    def tokens(self) -> tuple[float | None, float | None]:
        """Prompt tokens and generated tokens so far; None if not reported."""
        return figure_of(self.figures, PROMPT), figure_of(self.figures, GENERATION)


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing progressed for `flat_s` seconds; `last` is the last `/metrics` page, `silent_s` its age in seconds.

    `flat_s` is without the time for which the machine ran neither the engine nor the watch.
    """

    flat_s: float
    in_flight: int
    last: dict[str, float]
    silent_s: float


def hang_in(readings: Sequence[Reading], patience_s: float) -> Hang | None:
    """A hang at the end of the readings: requests in flight, and no token, prompt or answer for `patience_s` seconds.

    If `/metrics` never reported anything, nothing is called a hang: it would look like a long answer. The metric of
    running requests is not used: a server repeats the last value of its engine, which may have been idle then. Time
    that waiting for a processor explains does not count, and of a pause between two readings only the usual part.
    """
    if not readings or not readings[-1].in_flight:
        return None
    known = next((reading for reading in reversed(readings) if reading.figures is not None), None)
    if known is None or known.figures is None:
        return None
    now = readings[-1]
    flat: list[Reading] = []
    for reading in reversed(readings):
        has_moved = reading.done != now.done or (reading.figures is not None and reading.tokens != known.tokens)
        if not reading.in_flight or has_moved:
            break
        flat.append(reading)
    flat_s = sum(_watched_s(earlier, later) for later, earlier in itertools.pairwise(flat))
    if is_figure(flat_s) and flat_s < patience_s:
        return None
    return Hang(flat_s, now.in_flight, known.figures, now.at_s - known.at_s)


def _watched_s(earlier: Reading, later: Reading) -> float:
    """Seconds between two readings in which the engine could run and was watched."""
    seconds = min(later.at_s - earlier.at_s, LONGEST_GAP_S)
    if earlier.waits is None or later.waits is None:
        return seconds
    return max(seconds - between(earlier.waits, later.waits).explained_s, 0.0)  # NaN stays NaN


def not_hung(hang: Hang | None, where: str = "") -> list[Finding]:
    """No hang occurred; a hang is a fatal finding with its metrics."""
    if hang is None:
        return []
    names = (RUNNING, WAITING, PROMPT, GENERATION)
    values = [(name, figure_of(hang.last, name)) for name in names]
    shown = ", ".join(f"{name} {'unknown' if value is None else f'{value:g}'}" for name, value in values)
    silent = f"; /metrics has been silent for {hang.silent_s:.0f} s" if hang.silent_s > 1 else ""
    seen = f"no token and no answer for {hang.flat_s:.0f} s with {hang.in_flight} requests in flight: {shown}{silent}"
    return [Finding(kinds.HANG, "requests in flight to progress", seen, where)]


def counted_while_running(
    before: float, during: Sequence[float | None], what: str = "streams run", name: str = RUNNING
) -> list[Finding]:
    """The metric of running requests rose while requests of ours ran: otherwise its fall would show nothing.

    `what` of ours ran, and `name` is what was counted, in words for a report.
    """
    if is_figure(before) and any(is_figure(running) and running > before for running in during):
        return []
    seen = ", ".join("no value" if running is None else f"{running:g}" for running in during) or "not read"
    return [Finding(kinds.LOAD_SLOT_UNCOUNTED, f"{name} above {before:g} while {what}", seen, "/metrics")]


def freed(
    before: float, seen: Sequence[tuple[float, float | None]], within_s: float, name: str = RUNNING
) -> list[Finding]:
    """Running requests, as (seconds since the clients disconnected, value), fall to what they were before.

    `name` are the counted requests in words for a report.
    """
    if is_figure(before) and any(is_at_most(running, before) for at_s, running in seen if is_at_most(at_s, within_s)):
        return []
    known = [(at_s, running) for at_s, running in seen if running is not None]
    expected = f"{name} back to {before:g} within {within_s:g} s after the clients disconnected"
    last = f"{known[-1][1]:g} after {known[-1][0]:.1f} s" if known else "no value in /metrics"
    return [Finding(kinds.LOAD_SLOT_KEPT, expected, last, "/metrics")]


def only_ours(seen: Sequence[tuple[float, float | None]], clients: int) -> bool:
    """Whether values after `clients` clients disconnected can be theirs alone: never more than `clients`, never rising.

    The first half of the time is not used: an engine that frees a slot may count it twice for a moment.
    """
    from_s = seen[-1][0] / 2 if seen else 0.0
    known = [running for at_s, running in seen if running is not None and at_s >= from_s]
    return all(is_at_most(one, clients) for one in known) and all(
        is_at_most(b, a) for a, b in itertools.pairwise(known)
    )
