"""What the schemas accept and refuse. The bodies are those of vLLM 0.18 (every null present) and 0.32."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.schema import FORMATS, MOST_FINDINGS, SCHEMAS, conforms
from vlm_acceptance.core.errors import HarnessProblem

USAGE = {"prompt_tokens": 106, "total_tokens": 114, "completion_tokens": 8, "prompt_tokens_details": None}
TOKEN = {"token": " sign", "logprob": -0.25, "bytes": [32, 115, 105, 103, 110]}
LOGPROBS = {"content": [{**TOKEN, "top_logprobs": [TOKEN, {**TOKEN, "logprob": -9999.0, "bytes": None}]}]}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-8d1f",
    "object": "chat.completion",
    "created": 1764000000,
    "model": "internvl2-2b",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The sign says RIVER 472.",
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "tool_calls": [],
                "reasoning": None,
                "reasoning_content": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
            "token_ids": None,
        }
    ],
    "service_tier": None,
    "system_fingerprint": None,
    "usage": USAGE,
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "kv_transfer_params": None,
}
COMPLETION_032: dict[str, Any] = {
    **COMPLETION,
    "system_fingerprint": "vllm-0.32.0-tp1-1f2e3d4c",
    "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": None},
    "prompt_token_ids": [1, 92543],
    "prompt_text": None,
    "ec_transfer_params": None,
    "metrics": None,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "RIVER", "reasoning": None},
            "logprobs": LOGPROBS,
            "finish_reason": "length",
            "stop_reason": 92542,
            "token_ids": [5, 6],
            "routed_experts": None,
        }
    ],
}
CHUNK: dict[str, Any] = {
    "id": "chatcmpl-8d1f",
    "object": "chat.completion.chunk",
    "created": 1764000000,
    "model": "internvl2-2b",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}],
}
MODELS: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "internvl2-2b",
            "object": "model",
            "created": 1764000000,
            "owned_by": "vllm",
            "root": "/models/InternVL2-2B",
            "parent": None,
            "max_model_len": 8192,
            "permission": [{"id": "modelperm-1", "object": "model_permission"}],
        }
    ],
}
ERROR: dict[str, Any] = {"error": {"message": "no such model", "type": "NotFoundError", "param": "model", "code": 404}}
REMOVED = object()


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of `body` with another value at a dotted path, or without the key."""
    copied: dict[str, Any] = json.loads(json.dumps(body))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = copied
    for step in way:
        place = place[step]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return copied


ACCEPTED = {
    "0.18": ("completion", COMPLETION),
    "0.32": ("completion", COMPLETION_032),
    "null content": ("completion", changed(COMPLETION, "choices.0.message.content", None)),
    "unknown extra field": ("completion", {**COMPLETION, "x_request_id": "a"}),
    "stopped by a string": ("completion", changed(COMPLETION, "choices.0.stop_reason", "\n\n")),
    "abort": ("completion", changed(COMPLETION, "choices.0.finish_reason", "abort")),
    "repetition": ("completion", changed(COMPLETION, "choices.0.finish_reason", "repetition")),
    "first chunk": ("chunk", CHUNK),
    "chunk with usage null": ("chunk", {**CHUNK, "usage": None}),
    "chunk of text only": ("chunk", {**CHUNK, "choices": [{"index": 0, "delta": {"content": "RI"}}]}),
    "usage chunk": ("chunk", {**CHUNK, "choices": [], "usage": USAGE}),
    "chunk with reasoning": ("chunk", changed(CHUNK, "choices.0.delta", {"reasoning_content": "so"})),
    "chunk with logprobs": ("chunk", changed(CHUNK, "choices.0.logprobs", LOGPROBS)),
    "last chunk": ("chunk", changed(CHUNK, "choices.0.finish_reason", "stop")),
    "models": ("models", MODELS),
    "models without a length": ("models", changed(MODELS, "data.0.max_model_len", None)),
    "usage": ("usage", USAGE),
    "logprobs": ("logprobs", LOGPROBS),
    "error": ("error", ERROR),
    "error with a code in words": ("error", changed(ERROR, "error.code", "model_not_found")),
    "error as a detail": ("detail", ERROR),
    "framework's detail": ("detail", {"detail": "Not Found"}),
    "framework's list of details": ("detail", {"detail": [{"loc": ["body"], "msg": "too deep"}]}),
}

REFUSED = {
    "id missing": ("completion", COMPLETION, "id", REMOVED),
    "id null": ("completion", COMPLETION, "id", None),
    "id empty": ("completion", COMPLETION, "id", ""),
    "object missing": ("completion", COMPLETION, "object", REMOVED),
    "object of a chunk": ("completion", COMPLETION, "object", "chat.completion.chunk"),
    "created missing": ("completion", COMPLETION, "created", REMOVED),
    "created as a string": ("completion", COMPLETION, "created", "1764000000"),
    "created 1.0": ("completion", COMPLETION, "created", 1.0),
    "created true": ("completion", COMPLETION, "created", True),
    "created negative": ("completion", COMPLETION, "created", -1),
    "created in milliseconds": ("completion", COMPLETION, "created", 1764000000000),
    "model missing": ("completion", COMPLETION, "model", REMOVED),
    "model a number": ("completion", COMPLETION, "model", 2),
    "choices missing": ("completion", COMPLETION, "choices", REMOVED),
    "choices empty": ("completion", COMPLETION, "choices", []),
    "choices an object": ("completion", COMPLETION, "choices", {"0": {}}),
    "choice not an object": ("completion", COMPLETION, "choices.0", "RIVER"),
    "index missing": ("completion", COMPLETION, "choices.0.index", REMOVED),
    "index negative": ("completion", COMPLETION, "choices.0.index", -1),
    "index 0.0": ("completion", COMPLETION, "choices.0.index", 0.0),
    "message missing": ("completion", COMPLETION, "choices.0.message", REMOVED),
    "role missing": ("completion", COMPLETION, "choices.0.message.role", REMOVED),
    "role user": ("completion", COMPLETION, "choices.0.message.role", "user"),
    "content missing": ("completion", COMPLETION, "choices.0.message.content", REMOVED),
    "content a list": ("completion", COMPLETION, "choices.0.message.content", [{"type": "text"}]),
    "content a number": ("completion", COMPLETION, "choices.0.message.content", 472),
    "finish_reason unknown": ("completion", COMPLETION, "choices.0.finish_reason", "done"),
    "finish_reason error": ("completion", COMPLETION, "choices.0.finish_reason", "error"),
    "finish_reason null": ("completion", COMPLETION, "choices.0.finish_reason", None),
    "finish_reason missing": ("completion", COMPLETION, "choices.0.finish_reason", REMOVED),
    "logprobs a list": ("completion", COMPLETION, "choices.0.logprobs", []),
    "usage missing": ("completion", COMPLETION, "usage", REMOVED),
    "usage null": ("completion", COMPLETION, "usage", None),
    "prompt_tokens missing": ("completion", COMPLETION, "usage.prompt_tokens", REMOVED),
    "total_tokens negative": ("completion", COMPLETION, "usage.total_tokens", -1),
    "completion_tokens a float": ("completion", COMPLETION, "usage.completion_tokens", 8.0),
    "completion_tokens null": ("completion", COMPLETION, "usage.completion_tokens", None),
    "cached_tokens a string": ("completion", COMPLETION_032, "usage.prompt_tokens_details.cached_tokens", "4"),
    "token missing": ("logprobs", LOGPROBS, "content.0.token", REMOVED),
    "logprob missing": ("logprobs", LOGPROBS, "content.0.logprob", REMOVED),
    "logprob positive": ("logprobs", LOGPROBS, "content.0.logprob", 0.1),
    "logprob null": ("logprobs", LOGPROBS, "content.0.logprob", None),
    "logprob NaN": ("logprobs", LOGPROBS, "content.0.logprob", float("nan")),
    "logprob infinite": ("logprobs", LOGPROBS, "content.0.logprob", float("-inf")),
    "bytes missing": ("logprobs", LOGPROBS, "content.0.bytes", REMOVED),
    "bytes out of range": ("logprobs", LOGPROBS, "content.0.bytes.0", 256),
    "top_logprobs missing": ("logprobs", LOGPROBS, "content.0.top_logprobs", REMOVED),
    "top token missing": ("logprobs", LOGPROBS, "content.0.top_logprobs.1.token", REMOVED),
    "top logprob positive": ("logprobs", LOGPROBS, "content.0.top_logprobs.0.logprob", 1),
    "logprob positive in a body": ("completion", COMPLETION_032, "choices.0.logprobs.content.0.logprob", 0.1),
    "logprob NaN in a body": ("completion", COMPLETION_032, "choices.0.logprobs.content.0.logprob", float("nan")),
    "chunk id missing": ("chunk", CHUNK, "id", REMOVED),
    "chunk object of a body": ("chunk", CHUNK, "object", "chat.completion"),
    "chunk choices missing": ("chunk", CHUNK, "choices", REMOVED),
    "delta missing": ("chunk", CHUNK, "choices.0.delta", REMOVED),
    "delta role user": ("chunk", CHUNK, "choices.0.delta.role", "user"),
    "delta content a list": ("chunk", CHUNK, "choices.0.delta.content", ["RI"]),
    "chunk finish_reason unknown": ("chunk", CHUNK, "choices.0.finish_reason", "done"),
    "chunk usage a float": ("chunk", {**CHUNK, "usage": dict(USAGE)}, "usage.total_tokens", 114.0),
    "error message missing": ("error", ERROR, "error.message", REMOVED),
    "error message blank": ("error", ERROR, "error.message", " "),
    "error type missing": ("error", ERROR, "error.type", REMOVED),
    "error code missing": ("error", ERROR, "error.code", REMOVED),
    "error code a list": ("error", ERROR, "error.code", [404]),
    "error a string": ("error", ERROR, "error", "Unauthorized"),
    "error missing": ("error", ERROR, "error", REMOVED),
    "detail with a bad error": ("detail", ERROR, "error.message", REMOVED),
    "detail empty": ("detail", {"detail": "x"}, "detail", ""),
    "models object missing": ("models", MODELS, "object", REMOVED),
    "models data missing": ("models", MODELS, "data", REMOVED),
    "models data empty": ("models", MODELS, "data", []),
    "model id missing": ("models", MODELS, "data.0.id", REMOVED),
    "model object missing": ("models", MODELS, "data.0.object", REMOVED),
    "max_model_len zero": ("models", MODELS, "data.0.max_model_len", 0),
}


@pytest.mark.parametrize(("name", "body"), ACCEPTED.values(), ids=ACCEPTED)
def test_bodies_of_vllm_conform(name: str, body: Any) -> None:
    assert conforms(name, body) == []


@pytest.mark.parametrize(("name", "body", "path", "value"), REFUSED.values(), ids=REFUSED)
def test_a_body_that_breaks_a_client_is_refused_with_the_place(name: str, body: Any, path: str, value: object) -> None:
    found = conforms(name, changed(body, path, value))

    assert [finding.check for finding in found] == [f"schema.{name}"]
    parent = path.rpartition(".")[0] if value is REMOVED else path
    assert found[0].where.replace("[", ".").replace("]", "") == f"$.{parent}".rstrip(".")


@pytest.mark.parametrize("body", [None, [], "text", 3])
@pytest.mark.parametrize("name", ["completion", "chunk", "usage", "logprobs", "error", "detail", "models"])
def test_a_body_that_is_not_an_object_is_refused(name: str, body: Any) -> None:
    assert conforms(name, body) != []


def test_a_framework_detail_is_not_an_error_body() -> None:
    assert conforms("error", {"detail": "Not Found"}) != []


def test_a_finding_names_place_expectation_and_observation() -> None:
    (finding,) = conforms("chunk", changed(CHUNK, "created", "now"), "event 3")

    assert (finding.where, finding.expected, finding.observed) == ("event 3 $.created", "integer", "'now'")


def test_a_missing_key_is_named_with_the_keys_that_are_there() -> None:
    (finding,) = conforms("error", changed(ERROR, "error.type", REMOVED))

    assert finding.expected == "the key 'type'"
    assert finding.observed == "the keys 'message', 'param', 'code'"


def test_all_that_is_wrong_is_reported_up_to_a_limit() -> None:
    assert len(conforms("completion", {"id": 1, "model": 2})) == 6
    assert len(conforms("logprobs", {"content": [{}] * 100})) == MOST_FINDINGS


def test_every_format_named_in_a_schema_is_checked() -> None:
    named = {node["format"] for path in SCHEMAS.glob("*.json") for node in nodes(json.loads(path.read_text("utf-8")))}

    assert named == {"unix-seconds"}
    assert named <= set(FORMATS.checkers)


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a schema that names a format."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = [schema] if isinstance(schema, dict) and isinstance(schema.get("format"), str) else []
    return own + [node for value in inner for node in nodes(value)]


def test_an_unknown_schema_is_a_harness_problem() -> None:
    with pytest.raises(HarnessProblem, match="no schema 'nonsense'"):
        conforms("nonsense", {})
