"""What a chat exchange answered, streamed or not, as one value the checks share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core.errors import NoReply
from vlm_acceptance.core.exchange import NS, Exchange
from vlm_acceptance.core.finding import trimmed


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them."""

    prompt: int
    completion: int
    total: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `delta_ns` are the arrival times of the chunks that carried text, empty when not streamed."""

    text: str
    finish_reason: str | None
    usage: Usage | None
    model: str
    elapsed_s: float
    started_ns: int = 0
    delta_ns: tuple[int, ...] = ()

    @property
    def ttft_s(self) -> float | None:
        """Seconds from sending to the first chunk with text; None when there was none."""
        return (self.delta_ns[0] - self.started_ns) / NS if self.delta_ns else None

    @property
    def tpot_s(self) -> float | None:
        """Seconds per output token after the first; None below two tokens or without usage."""
        if not self.delta_ns or self.usage is None or self.usage.completion < 2:
            return None
        return (self.delta_ns[-1] - self.delta_ns[0]) / NS / (self.usage.completion - 1)


def reply_of(exchange: Exchange) -> Reply:
    """The answer in an exchange of `/v1/chat/completions`; NoReply says why there is none."""
    if exchange.error is not None:
        raise NoReply(f"{exchange.error.kind}: {exchange.error.message}")
    if exchange.status != 200:
        raise NoReply(f"HTTP {exchange.status}: {trimmed(exchange.body.decode('utf-8', 'replace'))}")
    try:
        return _from_stream(exchange) if exchange.request.stream else _from_body(exchange)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as broken:
        raise NoReply(f"unreadable answer ({type(broken).__name__}: {broken})") from broken


def _from_body(exchange: Exchange) -> Reply:
    body = exchange.json()
    if "error" in body:
        raise NoReply(f"an error inside HTTP 200: {trimmed(body['error'])}")
    choice = body["choices"][0]
    text = choice["message"]["content"]
    if not isinstance(text, str):
        raise NoReply(f"message.content is {trimmed(text)}, not a string")
    return Reply(
        text, choice["finish_reason"], usage_of(body), str(body.get("model")), exchange.elapsed_s, exchange.started_ns
    )


def _from_stream(exchange: Exchange) -> Reply:
    pieces: list[str] = []
    stamps: list[int] = []
    finish = usage = None
    model = ""
    for frame in exchange.frames:
        if frame.data.strip() == "[DONE]":
            continue
        chunk = json.loads(frame.data)
        if "error" in chunk:
            raise NoReply(f"an error event inside HTTP 200: {trimmed(chunk['error'])}")
        model = chunk.get("model") or model
        usage = usage_of(chunk) or usage
        for choice in chunk["choices"]:
            if choice.get("index", 0) != 0:
                continue
            piece = choice["delta"].get("content")
            if piece:
                pieces.append(piece)
                stamps.append(frame.at_ns)
            finish = choice.get("finish_reason") or finish
    if not exchange.frames:
        raise NoReply("the stream carried no event")
    return Reply("".join(pieces), finish, usage, model, exchange.elapsed_s, exchange.started_ns, tuple(stamps))


def usage_of(body: dict[str, Any]) -> Usage | None:
    """The usage block of a body or chunk; None when it is absent or null."""
    usage = body.get("usage")
    return Usage(usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) if usage else None
