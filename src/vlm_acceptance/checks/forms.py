"""Picture files of every kind: answered or refused in a readable way, never a server error."""

from __future__ import annotations

from dataclasses import replace

from vlm_acceptance.checks.liveness import answered
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.severity import Severity

REFUSALS = (400, 413, 415, 422)


def taken_or_refused(exchange: Exchange, deadline_s: float) -> list[Finding]:
    """200 with a text, or a readable 4xx within `deadline_s` seconds; anything else is fatal."""
    if exchange.status != 200:
        found = refused(exchange, statuses=REFUSALS, deadline_s=deadline_s)
        return [replace(f, expected=f"an answer, or {f.expected}", graded=Severity.FATAL) for f in found]
    reply = exchange.reply
    return [Finding(kinds.FORMAT_ANSWER, "an answer", str(reply))] if isinstance(reply, NoReply) else answered(reply)


def taken(exchange: Exchange) -> list[Finding]:
    """A form that every decoder reads is not refused."""
    refusal = exchange.status is not None and 400 <= exchange.status < 500
    return [Finding(kinds.FORMAT_REFUSED, "an answer", in_words(exchange))] if refusal else []


def costs(reply: Reply | NoReply, tokens: int) -> list[Finding]:
    """The prompt has exactly `tokens` tokens; a request that was refused has none to judge."""
    if isinstance(reply, NoReply):
        return []
    if reply.usage is None:
        return [Finding(kinds.FORMAT_TOKENS, f"{tokens} prompt tokens", "no usage")]
    if reply.usage.prompt != tokens:
        return [Finding(kinds.FORMAT_TOKENS, f"{tokens} prompt tokens", str(reply.usage.prompt))]
    return []


def in_words(exchange: Exchange) -> str:
    """What the server did with a picture, for the report."""
    if exchange.error is not None:
        return exchange.error.kind
    return "accepted" if exchange.status == 200 else f"refused with {exchange.status}"
