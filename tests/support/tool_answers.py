"""Answers of chat with calls of tools, as vLLM writes them."""

from __future__ import annotations

import json
from typing import Any

from vlm_acceptance.core.exchange import CHAT, Exchange, Frame, Request

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
ARGUMENTS = '{"gate": "north"}'
CALL: dict[str, Any] = {"id": "a", "type": "function", "function": {"name": "open_gate", "arguments": ARGUMENTS}}


def call(arguments: Any = ARGUMENTS, name: Any = "open_gate") -> dict[str, Any]:
    """A call of a tool."""
    return {**CALL, "function": {"name": name, "arguments": arguments}}


def message(*calls: dict[str, Any], content: Any = "") -> dict[str, Any]:
    """A message with these calls."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def plain(said: dict[str, Any], reason: Any = "tool_calls", usage: Any = None) -> Exchange:
    """An answer in one piece."""
    choice = {"index": 0, "message": said, "finish_reason": reason}
    body = {"id": "c", "model": "m", "choices": [choice], "usage": usage or USAGE}
    return Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(body).encode())


def streamed(
    *deltas: dict[str, Any], reason: str = "tool_calls", events: list[Any] | None = None, usage: Any = None
) -> Exchange:
    """A stream of these deltas; `events` replaces all of them."""
    ends = [*([None] * (len(deltas) - 1)), reason]
    chunks = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        for delta, end in zip(deltas, ends if deltas else [], strict=True)
    ]
    bodies = [*chunks, *([{"choices": [], "usage": usage or USAGE}] if deltas else [])] if events is None else events
    frames = [Frame(number, json.dumps(body)) for number, body in enumerate(bodies)]
    request = Request("POST", CHAT, {"stream": True}, stream=True)
    return Exchange("r1", request, "t", 0, 1, 200, frames=tuple([*frames, Frame(99, "[DONE]")] if frames else []))
