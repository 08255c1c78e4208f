"""Faults outside the answers: probes, lists, counts and error bodies."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import Call, Cut, Dose, Response, Stages, edits_body, error_response, json_response, object_of, typed

_SAMPLE = re.compile(rb"^(vllm:.*) \S+$", re.MULTILINE)


def health_only(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        if call.route == "/health":
            return Response(200, {}, b"")
        dose.pause(dose.magnitude)
        raise Cut

    return Stages(instead=instead)


def health_503(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        return replace(response, status=503) if call.route == "/health" else response

    return Stages(response=response)


def health_lost(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        is_lost = call.route == "/health" and call.number >= dose.magnitude
        return replace(response, status=503) if is_lost else response

    return Stages(response=response)


def gone(route: str) -> Callable[[Dose], Stages]:
    """The fault that a route is not found."""
    not_found = json_response(404, {"detail": "Not Found"})
    return lambda _dose: Stages(instead=lambda call: not_found if call.route == route else None)


def metrics_not_numbers(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if call.route != "/metrics":
            return response
        return replace(response, body=_SAMPLE.sub(rb"\1 NaN", response.body))

    return Stages(response=response)


def errors_as_html(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if not 400 <= response.status < 500:
            return response
        page = f"<html><body><h1>{response.status} Error</h1></body></html>\n"
        return replace(response, headers=typed(response.headers, "text/html"), body=page.encode())

    return Stages(response=response)


def errors_as_500(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if not 400 <= response.status < 500:
            return response
        return replace(
            error_response(500, "Internal server error"), headers=typed(response.headers, "application/json")
        )

    return Stages(response=response)


def malformed_accepted(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if not call.is_chat or response.status not in (400, 422):
            return response
        answer = small_answer(call.number, (object_of(call.body) or {}).get("model"))
        return replace(response, status=200).with_json(answer)

    return Stages(response=response)


def small_answer(number: int, model: object) -> dict[str, Any]:
    """A completion that says OK."""
    nulls = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
    message: dict[str, Any] = {"role": "assistant", "content": "OK.", **nulls, "tool_calls": [], "reasoning": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    head = {"id": f"chatcmpl-{number:032x}", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    usage = {"prompt_tokens": 1, "total_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}
    return {**head, "choices": [choice], "service_tier": None, "system_fingerprint": None, "usage": usage}


def tokenize_wrong(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        body["count"] += int(dose.magnitude)
        body["tokens"] += body["tokens"][-1:] * int(dose.magnitude)

    return edits_body("/tokenize", edit)


def picture_start_lost(dose: Dose) -> Stages:
    """The answer of /tokenize about a picture, as if the engine got the prompt without its first tokens."""

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if call.route == "/tokenize" and b"image_url" in call.body else None
        if body is None or response.status != 200:
            return response
        lost = int(dose.magnitude)
        left = {key: body[key] and body[key][lost:] for key in ("tokens", "token_strs")}
        return response.with_json({**body, **left, "count": body["count"] - lost})

    return Stages(response=response)


def models_empty(dose: Dose) -> Stages:
    return edits_body("/v1/models", lambda body: body.update(data=[]))


def models_untyped(dose: Dose) -> Stages:
    return edits_body("/v1/models", lambda body: body.pop("object", None))


def any_route_answered(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        unknown = response.status == 404 and "detail" in (object_of(response.body) or {})
        return json_response(200, {}) if unknown else response

    return Stages(response=response)


def max_model_len_wrong(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        for card in body["data"]:
            card["max_model_len"] = int(card["max_model_len"] * dose.magnitude)

    return edits_body("/v1/models", edit)
