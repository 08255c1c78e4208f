"""Faults of clients' requests: tools that are not valid are not refused, or do harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import Call, Cut, Dose, Response, Stages, error_response, json_response


def _answers_refused(answer: Callable[[dict[str, Any]], Response]) -> Stages:
    """Tools that the engine refuses are answered by `answer`."""

    def response(call: Call, response: Response) -> Response:
        body = call.json() if call.is_chat and response.status == 400 else None
        is_with_tools = body is not None and ("tools" in body or "tool_choice" in body)
        return answer(body) if body is not None and is_with_tools else response

    return Stages(response=response)


def bad_accepted(dose: Dose) -> Stages:
    def answer(body: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": "The gate is open."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body.get("model")}
        return json_response(200, {**head, "choices": [choice], "usage": usage})

    return _answers_refused(answer)


def bad_server_error(dose: Dose) -> Stages:
    return _answers_refused(lambda _body: error_response(500, "EngineCore encountered an issue."))


def bad_ends_the_engine(dose: Dose) -> Stages:
    """The engine is away for the next requests, as many as the dose, and then started again."""
    left = [0]

    def instead(call: Call) -> Response | None:
        if left[0] > 0 and call.is_chat:
            left[0] -= 1
            raise Cut
        return None

    def answer(body: dict[str, Any]) -> Response:
        left[0] = int(dose.magnitude)
        raise Cut

    return replace(_answers_refused(answer), instead=instead)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("bad-tools-accepted", "bad tools get a free answer", 1.0, bad_accepted),
    ("bad-tools-error", "bad tools are HTTP 500", 1.0, bad_server_error),
    ("bad-tools-end-engine", "bad tools end the engine for this many requests", 1.0, bad_ends_the_engine),
)
