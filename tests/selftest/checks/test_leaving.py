"""What others get after clients have left, and the first answer after an idle spell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.checks.leaving import OTHERS, OWN, answers_afterwards, as_before, unanswered_before
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Request

PICTURES = tuple(Picture(Path(f"{word}.png"), ((word,),), frozenset({word})) for word in ("RIVER", "GARDEN", "MARKET"))
QUESTION = Question("sign", "What?", "en", (1, 40), 64, 0, PICTURES)
RIVER, GARDEN, MARKET = PICTURES
HOSTILE: tuple[Any, ...] = (None, 7, [], "text", {"choices": 3}, {"choices": [{"message": {"content": 4}}]})


def body(text: object, tokens: tuple[tuple[str, float, str, float], ...] = ()) -> dict[str, Any]:
    content = [
        {"token": a, "logprob": p, "top_logprobs": [{"token": a, "logprob": p}, {"token": b, "logprob": q}]}
        for a, p, b, q in tokens
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "model": "m",
        "choices": [{**choice, "logprobs": {"content": content} if content else None}],
        "usage": usage,
    }


def exchange(value: Any, status: int | None = 200, **more: Any) -> Exchange:
    request = Request("POST", "/v1/chat/completions", {"logprobs": True})
    return Exchange("r1", request, "", 0, NS, status, body=json.dumps(value).encode(), **more)


def said(text: object, *tokens: tuple[str, float, str, float]) -> Exchange:
    return exchange(body(text, tokens))


def judged(where: str, *asked: tuple[Picture, Exchange]) -> list[kinds.FindingClass]:
    return [found.kind for found in answers_afterwards(QUESTION, asked, (), where)]


BROKEN = exchange({"error": {"message": "Expected a cached item"}}, 500)


def test_requests_that_fail_before_anybody_left_are_named() -> None:
    [found] = unanswered_before([said("RIVER").reply, BROKEN.reply, BROKEN.reply])
    assert (found.kind, found.exchange) == (kinds.LEAVING_UNANSWERED, BROKEN)
    assert found.observed.startswith("2 of 3 got none, the first: HTTP 500")
    assert unanswered_before([said("RIVER").reply, said("no sign").reply]) == []


def test_right_answers_afterwards_are_accepted() -> None:
    assert judged(OWN, (RIVER, said("RIVER")), (GARDEN, said("GARDEN"))) == []


def test_a_missing_answer_is_fatal_and_named_by_whose_picture_it_is() -> None:
    assert judged(OWN, (RIVER, BROKEN)) == [kinds.LEAVING_POISON]
    assert judged(OTHERS, (RIVER, BROKEN)) == [kinds.LEAVING_ANSWER]


def test_the_answer_of_another_picture_is_fatal() -> None:
    [found] = answers_afterwards(QUESTION, [(RIVER, said("MARKET"))], (), OTHERS)
    assert (found.kind, found.observed) == (kinds.LEAVING_MIXED_UP, "'MARKET'")
    assert found.fatal


def test_one_wrong_answer_may_be_chance_and_two_are_not() -> None:
    wrong = said("LAKE")
    assert judged(OTHERS, (RIVER, wrong), (GARDEN, said("GARDEN"))) == []
    assert judged(OTHERS, (RIVER, wrong), (GARDEN, wrong)) == [kinds.LEAVING_WRONG] * 2


@pytest.mark.parametrize("value", HOSTILE)
def test_a_body_of_any_shape_is_a_finding(value: Any) -> None:
    assert judged(OWN, (RIVER, exchange(value))) == [kinds.LEAVING_POISON]
    assert [one.kind for one in as_before(said("a"), exchange(value), None, 60)] == [kinds.IDLE_ANSWER]
    assert [one.kind for one in as_before(exchange(value), said("a"), None, 60)] == [kinds.IDLE_ANSWER]


def test_the_first_answer_after_a_pause_is_that_before_it() -> None:
    assert as_before(said("The sign"), said("The sign"), None, 60) == []
    [found] = as_before(said("The sign"), said("A sign"), None, 60)
    assert (found.kind, found.expected) == (kinds.IDLE_WRONG, "'The sign'")
    assert found.where == "the first request after 60 s without requests"


def test_a_near_tie_after_a_pause_is_accepted() -> None:
    tokens = (("The", -0.6, "A", -0.7), (" sign", -0.1, " board", -4.0))
    other = (("A", -0.6, "The", -0.7), (" sign", -0.1, " board", -4.0))
    assert as_before(said("The sign", *tokens), said("A sign", *other), 0.5, 60) == []
    assert as_before(said("The sign", *tokens), said("A sign", *other), 0.05, 60) != []


def test_no_answer_after_a_pause_says_why() -> None:
    lost = exchange(None, None, error=ErrorDetail("reset", "closed by peer"))
    [found] = as_before(said("The sign"), lost, None, 60)
    assert (found.kind, found.observed) == (kinds.IDLE_ANSWER, "reset: closed by peer")
