"""Picture files of every kind: answered or refused in a readable way, never a server error."""

from __future__ import annotations

from vlm_acceptance.checks.liveness import answered
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core.errors import NoReply
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.reply import Reply, reply_of

REFUSALS = (400, 413, 415, 422)


def taken_or_refused(exchange: Exchange, deadline_s: float) -> list[Finding]:
    """200 with a text, or a readable 4xx within `deadline_s` seconds; anything else is fatal."""
    if exchange.status != 200:
        found = refused(exchange, statuses=REFUSALS, deadline_s=deadline_s)
        return [Finding(f.check, f"an answer, or {f.expected}", f.observed, f.where, fatal=True) for f in found]
    try:
        return answered(reply_of(exchange))
    except NoReply as why:
        return [Finding("forms.answer", "an answer", str(why), fatal=True)]


def taken(exchange: Exchange) -> list[Finding]:
    """A form that every decoder reads is not refused."""
    refusal = exchange.status is not None and 400 <= exchange.status < 500
    return [Finding("forms.refused", "an answer", in_words(exchange), fatal=True)] if refusal else []


def costs(reply: Reply | NoReply, tokens: int) -> list[Finding]:
    """The prompt has exactly `tokens` tokens; a request that was refused has none to judge."""
    if isinstance(reply, NoReply):
        return []
    if reply.usage is None:
        return [Finding("forms.tokens", f"{tokens} prompt tokens", "no usage", fatal=True)]
    if reply.usage.prompt != tokens:
        return [Finding("forms.tokens", f"{tokens} prompt tokens", str(reply.usage.prompt), fatal=True)]
    return []


def in_words(exchange: Exchange) -> str:
    """What the server did with a picture, for the report."""
    if exchange.error is not None:
        return exchange.error.kind
    return "accepted" if exchange.status == 200 else f"refused with {exchange.status}"
