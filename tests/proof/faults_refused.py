"""What goes wrong where the engine refuses a request: it is accepted, is an error, or ends the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import Call, Cut, Dose, Response, Stages, error_response, json_response

Struck = Callable[[dict[str, Any]], bool]
Fault = Callable[[Dose], Stages]


def _answers_refused(is_struck: Struck, answer: Callable[[dict[str, Any]], Response]) -> Stages:
    """Chat requests that the engine refuses and the fault strikes are answered by `answer`."""

    def response(call: Call, response: Response) -> Response:
        body = call.json() if call.is_chat and response.status == 400 else None
        return answer(body) if body is not None and is_struck(body) else response

    return Stages(response=response)


def accepted(is_struck: Struck) -> Fault:
    """They get a free answer."""

    def answer(body: dict[str, Any]) -> Response:
        message = {"role": "assistant", "content": "Once upon a time"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body.get("model")}
        return json_response(200, {**head, "choices": [choice], "usage": usage})

    return lambda _dose: _answers_refused(is_struck, answer)


def server_error(is_struck: Struck) -> Fault:
    """They are HTTP 500."""
    return lambda _dose: _answers_refused(
        is_struck, lambda _body: error_response(500, "EngineCore encountered an issue.")
    )


def ends_the_engine(is_struck: Struck) -> Fault:
    """The engine is away for the next requests, as many as the dose, and then started again."""

    def fault(dose: Dose) -> Stages:
        left = [0]

        def instead(call: Call) -> Response | None:
            if left[0] > 0 and call.is_chat:
                left[0] -= 1
                raise Cut
            return None

        def answer(body: dict[str, Any]) -> Response:
            left[0] = int(dose.magnitude)
            raise Cut

        return replace(_answers_refused(is_struck, answer), instead=instead)

    return fault
