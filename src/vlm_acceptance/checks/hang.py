"""A hang as it shows from outside: requests are running and nothing moves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.models import figure_of
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
PROMPT, GENERATION = "vllm:prompt_tokens", "vllm:generation_tokens"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look, `at_s` seconds after the first: `/metrics` as figures, None where it gave none, and our own counts:
    requests answered in full (`done`) and out.

    `rss_mb` and `hbm_mb` are the memory of the engine's processes and of its card; None where not observed.
    """

    at_s: float
    figures: dict[str, float] | None
    done: int
    in_flight: int
    rss_mb: float | None = None
    hbm_mb: float | None = None

    def figure(self, name: str) -> float | None:
        """One figure of the page; None where there is none."""
        return figure_of(self.figures, name) if self.figures is not None else None


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing moved for `flat_s` seconds; `last` is the last page that came, `silent_s` how long none has."""

    flat_s: float
    in_flight: int
    last: dict[str, float]
    silent_s: float


def hang_in(readings: Sequence[Reading], patience_s: float) -> Hang | None:
    """A hang at the end of the readings: requests out, and no token, prompt or answer for `patience_s` seconds.

    Where `/metrics` has never said anything, nothing is called a hang: a long answer looks like one. Its figure of
    running requests is not asked: a server goes on showing what its engine said last, which may have been idle then.
    """
    if not readings or not readings[-1].in_flight:
        return None
    known = next((reading for reading in reversed(readings) if reading.figures is not None), None)
    if known is None or known.figures is None:
        return None
    now = readings[-1]
    began = now.at_s
    for reading in reversed(readings):
        if not reading.in_flight or reading.done != now.done:
            break
        if reading.figures is not None and _tokens(reading) != _tokens(known):
            break
        began = reading.at_s
    flat_s = now.at_s - began
    return Hang(flat_s, now.in_flight, known.figures, now.at_s - known.at_s) if flat_s >= patience_s else None


def not_hung(hang: Hang | None, where: str = "") -> list[Finding]:
    """No hang was seen; a fatal finding with the metrics else."""
    if hang is None:
        return []
    shown = ", ".join(f"{name} {_shown(hang.last, name)}" for name in (RUNNING, WAITING, PROMPT, GENERATION))
    silent = f"; /metrics has been silent for {hang.silent_s:.0f} s" if hang.silent_s > 1 else ""
    seen = f"no token and no answer for {hang.flat_s:.0f} s with {hang.in_flight} requests out: {shown}{silent}"
    return [Finding(kinds.HANG, "running requests to get on", seen, where)]


def counted_while_running(before: float, during: Sequence[float | None]) -> list[Finding]:
    """The figure of running requests rose while requests of ours ran: else its fall would say nothing."""
    if any(running is not None and running > before for running in during):
        return []
    seen = ", ".join("no figure" if running is None else f"{running:g}" for running in during) or "not read"
    return [Finding(kinds.LOAD_SLOT_UNCOUNTED, f"{RUNNING} above {before:g} in mid-stream", seen, "/metrics")]


def freed(before: float, seen: Sequence[tuple[float, float | None]], within_s: float) -> list[Finding]:
    """Running requests, as (seconds since the clients left, figure), fall to what they were before."""
    if any(running is not None and running <= before for at_s, running in seen if at_s <= within_s):
        return []
    told = [(at_s, running) for at_s, running in seen if running is not None]
    expected = f"{RUNNING} back to {before:g} within {within_s:g} s of the clients' leaving"
    last = f"{told[-1][1]:g} after {told[-1][0]:.1f} s" if told else "no figure in /metrics"
    return [Finding(kinds.LOAD_SLOT_KEPT, expected, last, "/metrics")]


def only_ours(seen: Sequence[tuple[float, float | None]], clients: int) -> bool:
    """Whether figures after the clients left can be theirs alone: never more than they were, and never rising.

    The first half of the time is left out: an engine that frees a slot may count it twice for a moment.
    """
    settled_s = seen[-1][0] / 2 if seen else 0.0
    told = [running for at_s, running in seen if running is not None and at_s >= settled_s]
    return all(one <= clients for one in told) and all(b <= a for a, b in itertools.pairwise(told))


def _tokens(reading: Reading) -> tuple[float | None, float | None]:
    return reading.figure(PROMPT), reading.figure(GENERATION)


def _shown(figures: dict[str, float], name: str) -> str:
    value = figure_of(figures, name)
    return "unknown" if value is None else f"{value:g}"
