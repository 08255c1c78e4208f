"""Warm streamed requests, one after another, measured with the waits for a processor around each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.checks.latency import FIGURES, LatencyRow, Sample, from_reply, row_of
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.waiting import Waited

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of the first (cold) answer and of the warm ones after it, and the last exchange."""

    cold: Sample
    warm: tuple[Sample, ...]
    last: Exchange

    @property
    def row(self) -> LatencyRow:
        """The row of the report."""
        return row_of(self.cold, self.warm)

    @property
    def waits(self) -> list[Waited]:
        """What was waited for a processor during each warm request, where it was observed."""
        return [one.waited["e2e_s"] for one in self.warm if "e2e_s" in one.waited]


def figures_of(measured: Measured, budget: Budget) -> dict[str, Any]:
    """Every answer in the order of sending, the cold one first, in seconds, and the budget; for reports."""
    samples = [(True, measured.cold), *((False, one) for one in measured.warm)]
    return {
        "budget": budget.model_dump(exclude_none=True),
        "samples": [
            {"cold": cold, **{name: getattr(one, name) for name in FIGURES}, "tokens": one.tokens}
            for cold, one in samples
        ],
    }


def measure(client: RecordingClient, bodies: Iterable[dict[str, Any]]) -> Measured | NoReply:
    """Send the bodies one after another, each streamed; NoReply with its exchange for the first without an answer."""
    samples, exchange = [], None
    for body in bodies:
        exchange = client.timed({**body, **STREAMED})
        reply = exchange.reply
        if isinstance(reply, NoReply):
            return reply
        samples.append(from_reply(reply))
    if exchange is None or len(samples) < 2:
        raise ValueError("a cold request and at least one warm request are needed")
    return Measured(samples[0], tuple(samples[1:]), exchange)
