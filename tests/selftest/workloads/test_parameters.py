"""The requests that show the effect of parameters."""

from __future__ import annotations

from vlm_acceptance.workloads import parameters


def test_what_is_not_named_has_its_neutral_value_and_none_leaves_a_field_out() -> None:
    body = parameters.body("m", "Hi", [], "plain", top_k=1, max_tokens=None)
    assert body["repetition_penalty"] == 1.0
    assert body["top_k"] == 1
    assert "max_tokens" not in body
    assert "stream" not in body


def test_a_stream_asks_for_its_usage() -> None:
    body = parameters.body("m", "Hi", [], "streamed")
    assert body["stream_options"] == {"include_usage": True}


def test_what_the_endpoint_does_not_take_is_not_sent() -> None:
    body = parameters.body("m", "Hi", ["top_k", "logprobs", "stream_options"], "streamed", top_k=1)
    assert {"top_k", "logprobs", "stream_options"} & body.keys() == set()


def test_a_request_that_names_nothing_has_no_neutral_value() -> None:
    assert not parameters.NEUTRAL.keys() & parameters.body("m", "Hi", [], "plain", **parameters.UNNAMED).keys()


def test_what_is_sent_is_shown() -> None:
    assert parameters.sent({"max_tokens": None, "max_completion_tokens": 3}) == "max_completion_tokens 3"
    assert parameters.sent({"stop": "end"}) == "stop 'end'"


def test_wrong_values_begin_with_the_name_of_their_parameter() -> None:
    for name, fields in parameters.WRONG.items():
        assert name.partition("-")[0] in fields
