"""Is it alive: health, one answer, counters that count."""

from __future__ import annotations

from collections.abc import Iterable

from vlm_acceptance.checks.models import figure_of, metrics
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed


def healthy(exchange: Exchange) -> list[Finding]:
    """200 from /health within the request's deadline."""
    if exchange.error is not None:
        return [Finding(kinds.HEALTH_STATUS, "HTTP 200", f"{exchange.error.kind}: {exchange.error.message}", "/health")]
    return (
        []
        if exchange.status == 200
        else [Finding(kinds.HEALTH_STATUS, "HTTP 200", f"HTTP {exchange.status}", "/health")]
    )


def answered(reply: Reply | NoReply) -> list[Finding]:
    """An answer with text and at least one token."""
    if isinstance(reply, NoReply):
        return [Finding(kinds.NO_ANSWER, "an answer", str(reply))]
    if not reply.text.strip():
        return [Finding(kinds.NO_ANSWER, "an answer with text", trimmed(reply.text))]
    return []


def metrics_moved(before: Exchange, after: Exchange, names: Iterable[str]) -> list[Finding]:
    """Counters that grew between two readings of /metrics; counters that are absent are another check's business."""
    try:
        first, second = (metrics(exchange.body.decode("utf-8", "replace")) for exchange in (before, after))
    except ValueError as broken:
        return [Finding(kinds.METRICS_TEXT, "Prometheus text", str(broken), "/metrics")]
    found = []
    for name in names:
        was, now = figure_of(first, name), figure_of(second, name)
        if was is not None and now is not None and now <= was:
            found.append(
                Finding(kinds.METRICS_MOVED, f"{name} to grow with a request", f"{was:g}, then {now:g}", "/metrics")
            )
    return found
