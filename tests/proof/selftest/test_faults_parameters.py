"""The faults of parameters change what they promise, and nothing else of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_stages import CHAT, Call, Dose, Response, object_of
from faults import FAULTS

from vlm_acceptance.workloads.parameters import WRONG

ALL: dict[str, Any] = {
    "max_tokens": 3, "max_completion_tokens": 3, "min_tokens": 2, "ignore_eos": True, "stop_token_ids": [1],
    "include_stop_str_in_output": True, "top_k": 1, "top_p": 0.5, "min_p": 0.5, "seed": 11, "presence_penalty": 2.0,
    "frequency_penalty": 2.0, "repetition_penalty": 9.0, "logit_bias": {"7": 100}, "bad_words": ["a"],
    "allowed_token_ids": [1], "prompt_logprobs": 1, "return_tokens_as_token_ids": True, "return_token_ids": True,
    "skip_special_tokens": False, "continue_final_message": True, "echo": True, "truncate_prompt_tokens": 7,
    "add_special_tokens": True, "cache_salt": "a", "priority": 3,
    "stop": "end", "n": 2, "temperature": 1.5, "logprobs": True, "top_logprobs": 3,
}  # fmt: skip


def sent(fault: str, body: dict[str, Any], route: str = CHAT) -> dict[str, Any]:
    """The body that the engine gets."""
    row = FAULTS[fault]
    call = row.apply(Dose(row.magnitude)).request(Call(0, "POST", route, {}, json.dumps(body).encode()))
    got = call.json()
    assert got is not None
    return got


IGNORED = [name for name in FAULTS if FAULTS[name].family == "parameters" and name.endswith("-ignored")]
PLAIN = [name for name in IGNORED if name.removesuffix("-ignored").replace("-", "_") in ALL]


@pytest.mark.parametrize("fault", PLAIN)
def test_one_parameter_is_not_seen_streamed_or_not(fault: str) -> None:
    name = fault.removesuffix("-ignored").replace("-", "_")
    for body in (ALL, {**ALL, "stream": True}):
        assert sent(fault, body) == {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize("fault", [name for name in FAULTS if name.endswith("-ignored-streamed")])
def test_one_parameter_is_not_seen_in_a_stream_alone(fault: str) -> None:
    name = fault.removesuffix("-ignored-streamed").replace("-", "_")
    streamed = {**ALL, "stream": True}
    assert sent(fault, ALL) == ALL
    assert sent(fault, streamed) == {key: value for key, value in streamed.items() if key != name}


@pytest.mark.parametrize(
    ("fault", "body", "changes"),
    [
        ("stop-as-string-ignored", {"stop": ["a", "b"]}, {}),
        ("stop-as-string-ignored", {"stop": "a"}, {"stop": None}),
        ("stop-beyond-first-ignored", {"stop": ["a", "b"]}, {"stop": ["a"]}),
        ("stop-beyond-first-ignored", {"stop": "ab"}, {}),
        ("seed-fixed", {"seed": 11}, {"seed": 5}),
        ("seed-fixed", {}, {}),
        ("temperature-capped", {"temperature": 1.5}, {"temperature": 0.7}),
        ("temperature-capped", {"temperature": 0.7}, {}),
        ("temperature-capped", {"temperature": "hot"}, {}),
        ("temperature-hidden", {}, {"temperature": 0.001}),
        ("temperature-hidden", {"temperature": 1.0}, {}),
        ("repetition-penalty-hidden", {}, {"repetition_penalty": 1.3}),
        ("repetition-penalty-hidden", {"repetition_penalty": 1.0}, {}),
        ("top-k-hidden", {}, {"top_k": 3}),
        ("top-k-hidden", {"top_k": 0}, {}),
        ("top-logprobs-fixed", {"logprobs": True, "top_logprobs": 3}, {"top_logprobs": 5}),
        ("top-logprobs-fixed", {"logprobs": True}, {}),
        ("logprobs-alone-ignored", {"logprobs": True}, {"logprobs": None}),
        ("logprobs-alone-ignored", {"logprobs": True, "top_logprobs": 3}, {}),
        ("logprobs-always", {}, {"logprobs": True}),
        (
            "chunk-usage-ignored",
            {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
            {"stream_options": {"include_usage": True}},
        ),
        ("generation-prompt-added", {"add_generation_prompt": False}, {"add_generation_prompt": None}),
        ("generation-prompt-added", {"add_generation_prompt": False, "continue_final_message": True}, {}),
        ("logit-bias-outside-accepted", {"logit_bias": {"7": 1}}, {}),
    ],
)
def test_a_request_is_changed_in_one_way(fault: str, body: dict[str, Any], changes: dict[str, Any]) -> None:
    wanted = {key: value for key, value in {**body, **changes}.items() if value is not None}
    assert sent(fault, body) == wanted
    assert sent(fault, body, "/v1/completions") == body


def test_an_id_outside_the_vocabulary_does_not_reach_the_engine() -> None:
    assert sent("logit-bias-outside-accepted", dict(WRONG["logit_bias-outside"])) == {"logit_bias": {}}


def answered(fault: str, body: dict[str, Any]) -> Any:
    """The body that the client gets."""
    row = FAULTS[fault]
    call = Call(0, "POST", CHAT, {}, b"{}")
    return object_of(row.apply(Dose(row.magnitude)).response(call, Response(200, {}, json.dumps(body).encode())).body)


def test_all_choices_are_copies_of_the_first() -> None:
    made = [{"index": number, "message": {"content": text}} for number, text in enumerate("ab")]
    texts = [choice["message"]["content"] for choice in answered("choices-copied", {"choices": made})["choices"]]
    assert texts == ["a", "a"]


@pytest.mark.parametrize(("last", "text"), [(" lighthouse", "A lighthous"), (" house", "A l")])
def test_a_stop_string_inside_a_token_is_kept(last: str, text: str) -> None:
    choice = {
        "index": 0,
        "message": {"content": "A l"},
        "stop_reason": "ighthous",
        "logprobs": {"content": [{"token": last}]},
    }
    assert answered("stop-after-token", {"choices": [choice]})["choices"][0]["message"]["content"] == text


def test_more_tokens_are_cached_than_the_prompt_has() -> None:
    usage = answered("cached-beyond-prompt", {"choices": [], "usage": {"prompt_tokens": 9}})["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 10}


def test_tokenize_adds_a_token_that_the_engine_does_not() -> None:
    row = FAULTS["add-special-tokens-ignored"]
    made, counted = row.apply(Dose(row.magnitude)), Response(200, {}, b'{"count": 2, "tokens": [7, 8]}')
    for route, asked, count in (
        ("/tokenize", {"add_special_tokens": True}, 3),
        ("/tokenize", {"add_special_tokens": False}, 2),
        ("/tokenize", {}, 2),
        (CHAT, {"add_special_tokens": True}, 2),
    ):
        seen = object_of(made.response(Call(0, "POST", route, {}, json.dumps(asked).encode()), counted).body)
        assert seen is not None
        assert (seen["count"], len(seen["tokens"])) == (count, count)


def test_only_a_priority_that_is_not_zero_fails() -> None:
    row = FAULTS["priority-error"]
    made = row.apply(Dose(row.magnitude))
    for value, status in ((3, 500), (-3, 500), (0, None), (None, None)):
        got = made.instead(Call(0, "POST", CHAT, {}, json.dumps({"priority": value}).encode()))
        assert (got.status if got is not None else None) == status
