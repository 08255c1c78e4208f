"""Requests that the engine must keep apart from others, or serve before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.parameters import unanswered
from vlm_acceptance.checks.parameters_body import details_of
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, token_count
from vlm_acceptance.core.finding import Finding


@dataclass(frozen=True, slots=True)
class Prompted:
    """A request, and how many tokens of its prompt came from the cache: by its usage, and as `/metrics` counted.

    None: not reported, or other clients were counted, too.
    """

    exchange: Exchange
    by_usage: int | None
    counted: int | None


def cached_by_usage(exchange: Exchange) -> int | None:
    """`usage.prompt_tokens_details.cached_tokens`; None where it is not reported."""
    if isinstance(exchange.reply, NoReply):
        return None
    details = details_of(exchange)
    return token_count(details.get("cached_tokens")) if isinstance(details, Mapping) else None


def answered(sent: Sequence[Prompted]) -> list[Finding]:
    """Requests that got no answer."""
    return [unanswered(one.exchange.reply) for one in sent if isinstance(one.exchange.reply, NoReply)]


def cached_of(again: Prompted, sent: Prompted) -> int | None:
    """How much of the prompt of `sent` came from the cache, read as it can be read of `again`, which was sent before.

    None where it is not known. A server that reports cached tokens reports none where there are none.
    """
    if again.by_usage:
        return sent.by_usage or 0
    return sent.counted


def apart(again: Prompted, other: Prompted) -> list[Finding]:
    """Of a prompt that was sent before with another salt, nothing comes from the cache."""
    seen = cached_of(again, other)
    if seen == 0:
        return []
    observed = f"cache_salt is not obeyed: {seen} tokens of the prompt came from the cache"
    expected = "no token from the cache, which holds the prompt of a request with another cache_salt"
    return [Finding(kinds.SCHEDULING_SALT, expected, observed, exchange=other.exchange)]


def first_served(earlier: Exchange | None, urgent: Exchange | None) -> list[Finding]:
    """Of two requests that waited for one slot, the one of the lower number in `priority` was answered first."""
    replies = [one.reply if one is not None else NoReply("no answer") for one in (earlier, urgent)]
    lost = [unanswered(one) for one in replies if isinstance(one, NoReply)]
    if lost or earlier is None or urgent is None or urgent.finished_ns < earlier.finished_ns:
        return lost
    numbers = [one.request.body.get("priority") for one in (earlier, urgent)]
    expected = f"priority {numbers[1]} served before {numbers[0]}: vLLM serves the lower number first"
    observed = (
        f"priority is not obeyed: the request of priority {numbers[0]}, which had waited longer, was served first"
    )
    return [Finding(kinds.SCHEDULING_PRIORITY, expected, observed, exchange=urgent)]


def survived(exchange: Exchange, deadline_s: float) -> list[Finding]:
    """A priority that the engine does not schedule by is answered, or refused with a readable 4xx."""
    if isinstance(exchange.reply, Reply):
        return []
    return refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
