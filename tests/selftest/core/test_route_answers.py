"""The answers of completions and responses are read, and whatever else comes is a reason why there is none."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.route_bodies import COMPLETION, RESPONSE, completion, completion_stream, response, response_stream

from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Request, Usage
from vlm_acceptance.core.route_answers import (
    COMPLETIONS,
    RouteAnswer,
    completion_answer,
    response_answer,
)


def read(exchange: Exchange) -> RouteAnswer:
    answer = (completion_answer if exchange.request.path == COMPLETIONS else response_answer)(exchange)
    assert isinstance(answer, RouteAnswer)
    return answer


@pytest.mark.parametrize("exchange", [completion(), completion_stream("It ", "is 4.")])
def test_a_completion_is_read(exchange: Exchange) -> None:
    answer = read(exchange)
    assert (answer.text, answer.reason, answer.usage) == ("It is 4.", "stop", Usage(5, 3, 8))
    assert (answer.indexes, answer.flaws) == ((0,), ())


@pytest.mark.parametrize("exchange", [response(), response_stream("It ", "is 4.")])
def test_a_response_is_read(exchange: Exchange) -> None:
    answer = read(exchange)
    assert (answer.text, answer.reason, answer.usage, answer.flaws) == ("It is 4.", "stop", Usage(5, 3, 8), ())


def test_a_response_that_was_cut_has_the_reason_of_chat() -> None:
    assert read(response({**RESPONSE, "status": "incomplete"})).reason == "length"
    assert read(response({**RESPONSE, "status": "failed"})).reason == "failed"


def test_tokens_of_a_completion_are_read() -> None:
    spelled = read(completion()).spelled
    assert spelled.tokens == ("It", " is", " 4.")
    assert spelled.chosen == (-0.1, -0.2, -0.3)
    assert spelled.others == ((("So", -3.0),), (), ((" 5.", -2.0),))


@pytest.mark.parametrize(
    ("path", "value"),
    [("token_logprobs", [float("nan"), 0, 0]), ("token_logprobs", [0]), ("tokens", None), ("top_logprobs", [1, 2, 3])],
)
def test_log_probabilities_that_cannot_be_read_are_broken(path: str, value: Any) -> None:
    body = copy.deepcopy(COMPLETION)
    body["choices"][0]["logprobs"][path] = value
    exchange = completion(body)
    answer = completion_answer(exchange)
    # NaN is no JSON at all
    assert isinstance(answer, NoReply) or answer.spelled.is_broken


def test_what_is_wrong_with_a_stream_is_named() -> None:
    assert read(completion_stream("a", "b", done=False)).flaws == ("[DONE] is not sent once, as the last event",)
    assert read(completion_stream("a", "b", reasons=False)).flaws == ("0 finish_reasons for one answer",)
    (flaw,) = read(response_stream("It ", "is 4.", final="It is 5.")).flaws
    assert flaw == "its pieces join to 'It is 4.', its final event has 'It is 5.'"
    (flaw,) = read(response_stream("a", first="response.in_progress")).flaws
    assert flaw == "its first event is 'response.in_progress'"
    (flaw,) = read(response_stream("a", step=2)).flaws
    assert flaw == "its sequence numbers are not 0, 1, 2 and so on"


def test_a_stream_without_its_end_is_no_answer() -> None:
    answer = response_answer(response_stream("a", last=False))
    assert isinstance(answer, NoReply)
    assert str(answer).startswith("the stream ends with 'response.output_text.delta'")


def spoiled(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by parts of other types, or removed."""
    yield from (None, 5, "x", [], {}, [None], {"a": 1})
    if isinstance(value, dict):
        for key, part in value.items():
            yield {name: one for name, one in value.items() if name != key}
            yield from ({**value, key: one} for one in spoiled(part))
    if isinstance(value, list):
        for place, part in enumerate(value):
            yield from ([*value[:place], one, *value[place + 1 :]] for one in spoiled(part))


def test_no_body_of_wrong_types_raises() -> None:
    for body in spoiled(COMPLETION):
        assert isinstance(completion_answer(completion(body)), (RouteAnswer, NoReply))
    for body in spoiled(RESPONSE):
        assert isinstance(response_answer(response(body)), (RouteAnswer, NoReply))


def test_no_event_of_wrong_types_raises() -> None:
    good = [json.loads(frame.data) for frame in response_stream("a").frames]
    for number, event in enumerate(good):
        for other in spoiled(event):
            exchange = response_stream("a", events=[*good[:number], other, *good[number + 1 :]])
            assert isinstance(response_answer(exchange), (RouteAnswer, NoReply))


def test_without_an_answer_the_reason_is_named() -> None:
    request = Request("POST", COMPLETIONS)
    lost = Exchange("r1", request, "t", 0, 1, error=ErrorDetail("reset", "gone"))
    assert str(completion_answer(lost)) == "reset: gone"
    refused = Exchange("r1", request, "t", 0, 1, 500, body=b"oh")
    assert str(completion_answer(refused)) == "HTTP 500: 'oh'"
    inside = Exchange("r1", request, "t", 0, 1, 200, body=b'{"error": "oh"}')
    assert str(completion_answer(inside)) == "an error inside HTTP 200: 'oh'"
