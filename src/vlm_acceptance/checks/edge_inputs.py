"""What becomes of odd inputs, of a picture whose request was refused, and of answers that should end by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlm_acceptance.checks.answer import holds
from vlm_acceptance.checks.completion import choices_are
from vlm_acceptance.checks.degeneracy import degenerate
from vlm_acceptance.checks.liveness import answered
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

REFUSALS = range(400, 500)
Parts = Sequence[Sequence[str]]
# an answer that is made longer, or other, than the model would have it is not the model's
_NOT_ITS_OWN = ("ignore_eos", "min_tokens", "logit_bias", "stop", "stop_token_ids", "response_format", "tools")
_SAMPLED = 1e-5


def became(
    exchange: Exchange, *, expect: str, deadline_s: float, parts: Parts = (), choices: int = 1, schema: str = "error"
) -> list[Finding]:
    """An input became what is expected of it, within `deadline_s` seconds.

    `expect` is refused, answered or right (the answer holds every one of `parts`), or two of them with ` or `.
    """
    ways = expect.split(" or ")
    found = {}
    if "refused" in ways:
        found["refused"] = refused(exchange, statuses=REFUSALS, deadline_s=deadline_s, schema=schema)
    if "right" in ways:
        found["right"] = right(exchange, parts, deadline_s)
    elif "answered" in ways:
        found["answered"] = _answered(exchange, choices, deadline_s)
    if not all(found.values()):
        return []
    # of two expectations, the one the answer comes nearer to says what is wrong
    named = "refused" if exchange.status is None or exchange.status >= 400 else ways[-1]
    return found.get(named) or next(iter(found.values()))


def right(exchange: Exchange, parts: Parts, deadline_s: float) -> list[Finding]:
    """The answer holds every part by one of its alternatives, and came in time."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return [*_late(exchange, deadline_s), Finding(kinds.EDGE_ANSWER, "an answer", str(reply))]
    missing = [part for part in parts if not holds(reply.text, part)]
    found = _late(exchange, deadline_s)
    if missing:
        wanted = "; and ".join(" or ".join(map(repr, part)) for part in missing)
        found.append(Finding(kinds.EDGE_WRONG, wanted, trimmed(reply.text)))
    return found


def _answered(exchange: Exchange, choices: int, deadline_s: float) -> list[Finding]:
    if choices > 1:
        return _late(exchange, deadline_s) + choices_are(exchange, choices)
    return _late(exchange, deadline_s) + answered(exchange.reply)


def _late(exchange: Exchange, deadline_s: float) -> list[Finding]:
    if exchange.elapsed_s <= deadline_s:
        return []
    return [Finding(kinds.EDGE_DEADLINE, f"an answer within {deadline_s:g} s", f"{exchange.elapsed_s:.3g} s")]


def memory_is_bounded(growth_mb: int, limit_mb: int) -> list[Finding]:
    """One request made the engine's processes grow by no more than `limit_mb`."""
    if growth_mb <= limit_mb:
        return []
    return [Finding(kinds.EDGE_MEMORY, f"at most {limit_mb} MB more while it was answered", f"{growth_mb} MB more")]


def stops(reply: Reply | NoReply, most: int) -> list[Finding]:
    """A short answer ended by itself: finish_reason `stop`, after at most `most` tokens."""
    if isinstance(reply, NoReply):
        return [Finding(kinds.EDGE_ANSWER, "an answer", str(reply))]
    found = []
    if reply.finish_reason != "stop":
        seen = f"finish_reason {reply.finish_reason!r}, ending in {trimmed(reply.text[-80:])}"
        found.append(Finding(kinds.STOP_NEVER, "an answer that ends by itself, finish_reason 'stop'", seen))
    if reply.usage is not None and reply.usage.completion > most:
        found.append(Finding(kinds.STOP_LONG, f"at most {most} tokens", f"{reply.usage.completion} tokens"))
    return found


def sane(exchange: Exchange, special_tokens: Sequence[str] = ()) -> list[Finding]:
    """No degenerate text in a chat answer, whatever was asked; what its question holds itself is not held against it.

    Not looked at are sampled answers, those under parameters that change them, and refusals; a character cut in two
    at the end of an answer that was cut is no broken encoding.
    """
    body = exchange.request.body
    if exchange.request.path != CHAT or not isinstance(body, dict) or exchange.status != 200:
        return []
    temperature = body.get("temperature", 1.0)
    # one that is no number should have been refused: what it was answered is no matter of sense
    is_greedy = isinstance(temperature, (int, float)) and temperature <= _SAMPLED
    if not is_greedy or any(body.get(name) for name in _NOT_ITS_OWN):
        return []
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return []  # the test that asked reports it
    text = reply.text.rstrip("\ufffd") if reply.finish_reason == "length" else reply.text
    found = degenerate(text, special_tokens)
    if not found:
        return []
    asked = {finding.check for finding in degenerate(_texts(body), special_tokens)}
    return [finding for finding in found if finding.check not in asked]


def _texts(body: dict[str, Any]) -> str:
    """Everything said in a request, without its pictures."""
    contents = [message.get("content") for message in body["messages"] if isinstance(message, dict)]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    said = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in said if isinstance(text, str))
