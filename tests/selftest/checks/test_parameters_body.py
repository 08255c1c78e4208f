"""Parameters that change what a body holds, and stop strings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.made_answers import (
    BROKEN,
    answer,
    body,
    entry,
    observed,
    streamed,
    sure,
    words,
)

from vlm_acceptance.checks import parameters_body, parameters_stop
from vlm_acceptance.core.exchange import CHAT, Exchange, Frame, Request

WHOLE = words("A", " lighthouse", " stands", text="A lighthouse stands")


def test_a_stop_string_inside_a_token_is_chosen() -> None:
    assert parameters_stop.inside_a_token(WHOLE) == "ighthous"
    assert parameters_stop.inside_a_token(words("A", " b", " c", text="A b c")) == ","
    assert parameters_stop.inside_a_token(BROKEN) == ","


@pytest.mark.parametrize(
    ("text", "reason", "is_right"),
    [
        ("A lighthouse", "stop", True),
        ("A ", "stop", False),
        ("A lighthouse stands", "length", False),
        ("A house", "stop", False),
    ],
)
def test_a_stop_string_is_kept(text: str, reason: str, is_right: bool) -> None:
    seen = words("A", " lighthouse", text=text, reason=reason)
    found = parameters_stop.kept("include_stop_str_in_output", seen, WHOLE, "lighthouse", None)
    assert (not found) is is_right


def test_alternatives_are_as_many_as_requested() -> None:
    listed = answer([entry("a", -0.1, b=-2.0, c=-3.0)] * 2)
    assert parameters_body.lists_alternatives("top_logprobs 3", listed, 3) == []
    assert "3 alternatives" in observed(parameters_body.lists_alternatives("top_logprobs 5", listed, 5))
    assert parameters_body.lists_alternatives("logprobs", answer(None), None) == []
    assert "not requested" in observed(parameters_body.lists_alternatives("logprobs", listed, None))
    assert "0 for 0 tokens" in observed(parameters_body.lists_alternatives("logprobs", answer(None), 0))


def test_the_prompt_has_log_probabilities() -> None:
    good = [None, *({"3": {"logprob": -1.0}} for _ in range(4))]
    assert parameters_body.lists_prompt(answer(sure(1), prompt_logprobs=good)) == []
    for wrong in (None, good[:3], [None, *({"3": {"logprob": 1.0}} for _ in range(4))], [1, 2], "x"):
        assert parameters_body.lists_prompt(answer(sure(1), prompt_logprobs=wrong))


def test_tokens_are_named_by_id() -> None:
    assert parameters_body.names_by_id(answer(sure(1))) == []
    assert "named 'word'" in observed(parameters_body.names_by_id(answer([entry("word")])))
    assert "no token" in observed(parameters_body.names_by_id(answer(None)))


def test_token_ids_are_those_of_prompt_and_answer() -> None:
    def with_ids(prompt: Any, mine: Any) -> Exchange:
        made = body(sure(1, 2), prompt_token_ids=prompt)
        made["choices"][0]["token_ids"] = mine
        return Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(made).encode())

    five = [1, 2, 3, 4, 5]
    assert parameters_body.gives_ids(with_ids(five, [1, 2])) == []
    for prompt, mine in ((None, [1, 2]), (five, None), (five, [1, 3]), (five[:4], [1, 2]), (five, ["1", 2]), (7, 7)):
        assert parameters_body.gives_ids(with_ids(prompt, mine))


def test_special_tokens_are_shown_or_left_out() -> None:
    def said(text: str) -> Exchange:
        return words("OK", "<|end|>", " so", text=text)

    for special in ([], ["<|end|>"]):
        assert parameters_body.special_tokens_shown(said("OK<|end|> so"), special, are_shown=True) == []
        assert parameters_body.special_tokens_shown(said("OK so"), special, are_shown=False) == []
        assert parameters_body.special_tokens_shown(said("OK so"), special, are_shown=True)
        assert parameters_body.special_tokens_shown(said("OK<|end|> so"), special, are_shown=False)
    assert parameters_body.special_tokens_shown(words("OK", text="OK"), [], are_shown=True) == []


def test_a_usage_of_each_chunk_grows() -> None:
    def counts(*completions: int) -> Exchange:
        made = [
            {"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": {"prompt_tokens": 5, "completion_tokens": n,
             "total_tokens": 5 + n}} for n in completions
        ]  # fmt: skip
        end = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
        raw = [json.dumps(one) for one in (*made, end)]
        request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)
        return Exchange("s", request, "t", 0, 1, 200, frames=tuple(Frame(n, data) for n, data in enumerate(raw)))

    assert parameters_body.usage_grows(counts(1, 2)) == []
    assert parameters_body.usage_grows(counts(2, 1))
    assert "2 of 2 have none" in observed(parameters_body.usage_grows(streamed(sure(1, 2))))


@pytest.mark.parametrize(("cached", "is_right"), [(0, True), (5, True), (None, True), (6, False), ("1", False)])
def test_cached_tokens_are_a_part_of_the_prompt(cached: Any, is_right: bool) -> None:
    made = body(sure(1))
    made["usage"]["prompt_tokens_details"] = {"cached_tokens": cached}
    exchange = Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(made).encode())
    assert (parameters_body.cached_tokens([answer(sure(1)), exchange]) == []) is is_right


def test_a_prompt_has_the_tokens_of_its_form() -> None:
    assert parameters_body.prompt_is(answer(sure(1)), 5, "echo") == []
    assert observed(parameters_body.prompt_is(answer(sure(1)), 7, "echo")) == "echo is not obeyed: 5 tokens"
    assert parameters_body.prompt_is_shorter("echo", answer(sure(1)), answer(sure(1)))
    assert parameters_body.begins_with("echo", answer(sure(1), text="The end"), "The") == []
    assert parameters_body.begins_with("echo", answer(sure(1), text="end"), "The")
    assert parameters_body.tokens_counted(answer(sure(1))) is None
