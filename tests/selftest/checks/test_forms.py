"""A kind of file is answered or refused readably; a server error, a hang or a miscount is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.forms import costs, in_words, taken, taken_or_refused
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, NoReply, Reply, Request, Usage

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "A sign."}, "finish_reason": "stop"}
ANSWER = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
ERROR = {"error": {"message": "cannot identify image file", "type": "BadRequestError", "param": None, "code": 400}}


def exchange(status: int, body: Any, seconds: float = 0.1) -> Exchange:
    request = Request("POST", "/v1/chat/completions")
    return Exchange("r1", request, "t", 0, int(seconds * NS), status, body=json.dumps(body).encode())


def test_an_answer_or_a_readable_refusal_is_right() -> None:
    assert taken_or_refused(exchange(200, ANSWER), 5) == []
    assert taken_or_refused(exchange(400, ERROR), 5) == []


@pytest.mark.parametrize(
    "wrong",
    [
        exchange(500, ERROR),
        exchange(400, "no object"),
        exchange(404, ERROR),
        exchange(400, ERROR, seconds=6),
        exchange(200, ERROR),
        exchange(200, {**ANSWER, "choices": [{**CHOICE, "message": {"role": "assistant", "content": ""}}]}),
        Exchange("r1", Request("POST", "/"), "t", 0, 1, error=ErrorDetail("reset", "gone")),
    ],
)
def test_anything_else_is_fatal(wrong: Exchange) -> None:
    found = taken_or_refused(wrong, 5)
    assert found and all(finding.fatal for finding in found)


def test_what_every_decoder_reads_is_not_refused() -> None:
    assert taken(exchange(200, ANSWER)) == []
    assert taken(exchange(500, ERROR)) == []  # said by the other check
    assert [found.observed for found in taken(exchange(415, ERROR))] == ["refused with 415"]


def test_tokens_are_judged_where_there_is_an_answer() -> None:
    assert costs(Reply("x", "stop", Usage(35, 1, 36), "m", 0.1), 35) == []
    assert costs(NoReply("HTTP 400: x"), 35) == []
    assert [found.observed for found in costs(Reply("x", "stop", Usage(34, 1, 35), "m", 0.1), 35)] == ["34"]
    assert [found.observed for found in costs(Reply("x", "stop", None, "m", 0.1), 35)] == ["no usage"]


def test_the_report_says_what_became_of_it() -> None:
    seen = [
        exchange(200, ANSWER),
        exchange(400, ERROR),
        Exchange("r1", Request("GET", "/"), "t", 0, 1, error=ErrorDetail("timeout", "x")),
    ]
    assert [in_words(one) for one in seen] == ["accepted", "refused with 400", "timeout"]
