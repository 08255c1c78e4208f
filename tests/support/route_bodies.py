"""Bodies and events of `/v1/completions` and `/v1/responses` as vLLM writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from vlm_acceptance.core.exchange import Exchange, Frame, Request
from vlm_acceptance.core.route_answers import COMPLETIONS, RESPONSES

TEXT = "It is 4."
LOGPROBS: dict[str, Any] = {
    "tokens": ["It", " is", " 4."],
    "token_logprobs": [-0.1, -0.2, -0.3],
    "top_logprobs": [{"It": -0.1, "So": -3.0}, {" is": -0.2}, {" 4.": -0.3, " 5.": -2.0}],
    "text_offset": [0, 2, 5],
}
COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1764000000,
    "model": "m",
    "choices": [{"index": 0, "text": TEXT, "logprobs": LOGPROBS, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}
RESPONSE: dict[str, Any] = {
    "id": "resp-1",
    "object": "response",
    "model": "m",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}],
    "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
}


def _plain(path: str, body: Any) -> Exchange:
    return Exchange("r1", Request("POST", path, {}), "t", 0, 1, 200, body=json.dumps(body).encode())


def _stream(path: str, frames: Sequence[Frame]) -> Exchange:
    request = Request("POST", path, {"stream": True}, stream=True)
    return Exchange("r1", request, "t", 0, 1, 200, frames=tuple(frames))


def completion(body: Any = COMPLETION, **changes: Any) -> Exchange:
    """A plain completion; `changes` are of its first choice."""
    whole = copy.deepcopy(body)
    if changes:
        whole["choices"][0].update(changes)
    return _plain(COMPLETIONS, whole)


def completion_stream(*pieces: str, done: bool = True, reasons: bool = True, reason: str = "stop") -> Exchange:
    """A streamed completion of these pieces."""
    ends = [None] * (len(pieces) - 1) + [reason if reasons else None]
    parts: list[list[dict[str, Any]]] = [
        [{"index": 0, "text": piece, "finish_reason": end}] for piece, end in zip(pieces, ends, strict=True)
    ]
    bodies = [{"id": "cmpl-1", "choices": part} for part in parts]
    bodies.append({"id": "cmpl-1", "choices": [], "usage": COMPLETION["usage"]})
    frames = [Frame(number, json.dumps(body)) for number, body in enumerate(bodies)]
    return _stream(COMPLETIONS, [*frames, Frame(99, "[DONE]")] if done else frames)


def response(body: Any = RESPONSE) -> Exchange:
    """A plain response."""
    return _plain(RESPONSES, body)


def response_stream(
    *pieces: str,
    final: str | None = None,
    first: str = "response.created",
    last: bool = True,
    step: int = 1,
    events: list[Any] | None = None,
) -> Exchange:
    """A streamed response of these pieces; `final` is the text of its last event, `events` replaces all of them."""
    if events is None:
        whole = copy.deepcopy(RESPONSE)
        whole["output"][0]["content"][0]["text"] = "".join(pieces) if final is None else final
        events = [{"type": first, "response": {}}]
        events += [{"type": "response.output_text.delta", "delta": piece} for piece in pieces]
        events += [{"type": "response.completed", "response": whole}] if last else []
        events = [{**event, "sequence_number": number * step} for number, event in enumerate(events)]
    kinds = [event.get("type") if isinstance(event, dict) else "" for event in events]
    frames = [Frame(n, json.dumps(event), str(kind)) for n, (event, kind) in enumerate(zip(events, kinds, strict=True))]
    return _stream(RESPONSES, frames)
