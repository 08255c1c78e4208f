"""The one completion that answers a question of a benchmark, and why a response holds none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core.errors import NoReply
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import trimmed

_SHOWN_BYTES = 400  # cut before anything else is done with them: a response may have megabytes
_LONGEST_REASON = 80
_MOST_TOKENS = 1 << 53


@dataclass(frozen=True, slots=True)
class Completion:
    """What a response said. Token counts are None where it tells none."""

    text: str
    finish_reason: str | None
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None


def completion_of(exchange: Exchange, model_id: str) -> Completion:
    """The completion in a plain chat exchange; NoReply says why there is none, or none by `model_id`.

    A response answers with exactly one choice, that of index 0.
    """
    if exchange.error is not None:
        raise NoReply(f"{exchange.error.kind}: {exchange.error.message}")
    if exchange.status != 200:
        raise NoReply(f"HTTP {exchange.status}: {trimmed(exchange.body[:_SHOWN_BYTES].decode('utf-8', 'replace'))}")
    try:
        body = exchange.json()
    except (ValueError, RecursionError) as broken:
        raise NoReply(f"HTTP 200 without JSON ({type(broken).__name__}: {str(broken)[:_SHOWN_BYTES]})") from broken
    if not isinstance(body, dict):
        raise NoReply(f"HTTP 200 whose body is {_seen(body)}, not an object")
    if "error" in body:
        raise NoReply(f"an error inside HTTP 200: {_seen(body['error'])}")
    text, finish_reason = _choice(body.get("choices"))
    if body.get("model") != model_id:
        raise NoReply(f"the answer is by model {_seen(body.get('model'))}, asked was {_seen(model_id)}")
    usage = body.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    told = (token_count(counts.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return Completion(text, finish_reason, model_id, *told)


def _choice(choices: Any) -> tuple[str, str | None]:
    """Text and finish reason of the only choice."""
    if not isinstance(choices, list) or len(choices) != 1:
        seen = f"{len(choices)} choices" if isinstance(choices, list) else f"choices {_seen(choices)}"
        raise NoReply(f"{seen}, expected one")
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise NoReply(f"choices[0] has no message: {_seen(choice)}")
    if type(choice.get("index")) is not int or choice["index"] != 0:
        raise NoReply(f"choices[0].index is {_seen(choice.get('index'))}, expected 0")
    reason = choice.get("finish_reason", 0)
    if reason is not None and not isinstance(reason, str):
        shown = _seen(reason) if "finish_reason" in choice else "absent"
        raise NoReply(f"choices[0].finish_reason is {shown}, expected a string or null")
    text = message.get("content")
    if not isinstance(text, str):
        raise NoReply(f"message.content is {_seen(text)}, not a string")
    return text, reason if reason is None else reason[:_LONGEST_REASON]


def token_count(value: object) -> int | None:
    """The value where it is a count of tokens, else None."""
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else None


def _seen(value: object) -> str:
    """A value for a reader, the size of which does not matter."""
    return trimmed(value[:_SHOWN_BYTES] if isinstance(value, str) else value, 120)
