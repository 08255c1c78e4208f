"""Stored answers that a deployment scores: which of its prompt's places are the answer's, and what cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Request
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.scored_answers import (
    KEPT,
    PLACES,
    TOKENS,
    OtherTokens,
    can_be_scored,
    is_refused,
    params,
    scored_of,
    shortened,
)

END = 4
STORED = LogProbs("It is", (7, 8, END), ({7: -0.1, 1: -3.0}, {8: -0.2, 1: -2.0}, {END: -0.3, 1: -2.5}))
PROMPT = (90, 91, 92, 93, 94, 95, 96, 97, 98, 99)


def place(token: int, logprob: float, **others: float) -> dict[str, Any]:
    listed = {token: logprob, **{int(name[1:]): value for name, value in others.items()}}
    return {str(name): {"logprob": value, "rank": 1, "decoded_token": "x"} for name, value in listed.items()}


def body(tokens: tuple[int, ...] = (7, 8), next_token: int = END, **changes: Any) -> dict[str, Any]:
    """What vLLM answers: the first place of a prompt has no log probability."""
    ids = [*PROMPT, *tokens]
    own = [place(token, -0.1 * number, t1=-2.0) for number, token in enumerate(tokens, start=1)]
    top = [{"token": f"token_id:{name}", "logprob": value} for name, value in ((next_token, -0.3), (1, -2.5))]
    choice = {
        "message": {"content": ""},
        "finish_reason": "stop",
        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
    }
    places = [None, *(place(token, -5.0, t1=-1.0) for token in PROMPT[1:]), *own]
    return {"choices": [choice], "model": "m", PLACES: places, TOKENS: ids, **changes}


def answered(content: object, status: int = 200) -> Exchange:
    request = Request("POST", CHAT, {"messages": [{"role": "assistant", "content": STORED.text}]})
    return Exchange("r1", request, "", 0, 1, status=status, body=json.dumps(content).encode())


def why(content: object, status: int = 200) -> str:
    seen = scored_of(answered(content, status), STORED)
    assert isinstance(seen, NoReply), seen
    return seen.reason


def test_the_answers_places_are_the_last_ones_and_its_end_is_the_next_token() -> None:
    seen = scored_of(answered(body()), STORED)
    assert isinstance(seen, LogProbs)
    assert seen.tokens == STORED.tokens
    assert [dict(one) for one in seen.top] == [{7: -0.1, 1: -2.0}, {8: -0.2, 1: -2.0}, {END: -0.3, 1: -2.5}]


def test_an_answer_that_was_cut_lies_in_the_prompt_as_a_whole() -> None:
    cut = LogProbs("It is 9", (7, 8, 9), STORED.top)
    seen = scored_of(answered(body((7, 8, 9), next_token=5)), cut)
    assert isinstance(seen, LogProbs)
    assert [token in listed for token, listed in zip(cut.tokens, seen.top, strict=True)] == [True, True, True]


def test_another_token_in_place_of_the_end_is_the_one_that_would_follow() -> None:
    seen = scored_of(answered(body(next_token=5)), STORED)
    assert isinstance(seen, LogProbs)
    assert seen.tokens == (7, 8, 5)


@pytest.mark.parametrize("tokens", [(7, 9), (78,), (8, 7), (7, 8, 9)], ids=str)
def test_an_answer_with_other_tokens_is_left_out(tokens: tuple[int, ...]) -> None:
    assert isinstance(scored_of(answered(body(tokens)), STORED), OtherTokens)


def test_only_the_answers_places_are_kept() -> None:
    short = shortened(answered(body()))
    kept = short.json()
    most = len(STORED.text.encode()) + 2
    assert (len(kept[PLACES]), len(kept[TOKENS])) == (most, most)
    assert kept[KEPT] == f"the last {most} of {len(PROMPT) + 2}"
    assert scored_of(short, STORED) == scored_of(answered(body()), STORED)
    assert shortened(short) == short


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (body(**{PLACES: None}), f"no list of {PLACES}"),
        (body(**{TOKENS: None}), f"no list of {TOKENS}"),
        (body(**{PLACES: body()[PLACES][:-1]}), f"11 {PLACES} of 12 {TOKENS}"),
        (body(**{PLACES: [None, *body()[PLACES][:-1]]}), "does not list its own token"),
        (body(**{PLACES: [*body()[PLACES][:-1], None]}), "is None, not an object"),
        (body(choices=[]), "unreadable answer"),
        ([], "unreadable answer"),
        ({"error": "no"}, f"no list of {PLACES}"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_be_read_is_no_score(content: object, reason: str) -> None:
    assert reason in why(content)
    untouched = answered(content)
    assert isinstance(scored_of(shortened(untouched), STORED), NoReply)


def test_a_score_that_is_no_number_is_no_score() -> None:
    text = json.dumps(body()).replace("-0.2", "NaN")
    seen = scored_of(Exchange("r1", answered({}).request, "", 0, 1, status=200, body=text.encode()), STORED)
    assert isinstance(seen, NoReply)


@pytest.mark.parametrize(
    ("status", "is_so"), [(400, True), (404, True), (422, True), (501, True), (500, False), (200, False)]
)
def test_a_refusal_is_not_a_broken_answer(status: int, is_so: bool) -> None:
    assert is_refused(answered(body(), status)) is is_so


def test_an_answer_without_a_text_cannot_be_scored() -> None:
    assert can_be_scored(STORED)
    assert not can_be_scored(LogProbs("", (END,), ({END: -0.1},)))
    assert not can_be_scored(LogProbs(" ", (7, END), ({7: -0.1}, {END: -0.1})))


def test_a_request_asks_for_what_is_read() -> None:
    assert params(20)[PLACES] == params(20)["top_logprobs"] == 20
    assert params(5)["return_token_ids"] is True
