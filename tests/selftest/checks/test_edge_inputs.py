"""Edge inputs, picture files, stopping, and sanity of every answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.edge_inputs import (
    answered_or_refused,
    became,
    in_words,
    memory_is_bounded,
    not_refused,
    prompt_tokens_are,
    right,
    sane,
    stops,
)
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, NoReply, Reply, Request, Usage

ERROR = {"error": {"message": "Failed to load image", "type": "BadRequestError", "param": None, "code": 400}}
DETAIL = {"detail": "There was an error parsing the body"}
PARTS = (("RIVER 472",),)


def answer(text: str, finish: str = "stop", choices: int = 1) -> dict[str, Any]:
    nulls = {"refusal": None, "annotations": None, "audio": None, "function_call": None, "reasoning": None}
    message = {"role": "assistant", "content": text, "tool_calls": [], **nulls}
    rows = [{"index": n, "message": message, "logprobs": None, "finish_reason": finish} for n in range(choices)]
    usage = {"prompt_tokens": 5, "completion_tokens": 3 * choices, "total_tokens": 5 + 3 * choices}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m"}
    return {**head, "choices": rows, "usage": usage}


def exchange(status: int | None, body: Any = ERROR, seconds: float = 0.1, **more: Any) -> Exchange:
    request = more.pop("request", Request("POST", "/v1/chat/completions", {}))
    json_type = {"content-type": "application/json"}
    raw = json.dumps(body).encode()
    return Exchange("r1", request, "", 0, int(seconds * NS), status, json_type, body=raw, **more)


def checks(seen: Exchange, expect: str, **more: Any) -> list[str]:
    return [found.check for found in became(seen, expect=expect, deadline_s=5, parts=PARTS, **more)]


RIGHT, WRONG = exchange(200, answer("The sign says RIVER 472.")), exchange(200, answer("The picture is blank."))
REFUSED, BROKEN = exchange(400), exchange(500)
HUNG = exchange(None, error=ErrorDetail("timeout", "nothing more within 5 s"))


@pytest.mark.parametrize(
    ("seen", "expect"),
    [
        (REFUSED, "refused"),
        (exchange(422), "refused"),
        (REFUSED, "refused or answered"),
        (REFUSED, "refused or right"),
        (WRONG, "refused or answered"),
        (WRONG, "answered"),
        (RIGHT, "refused or right"),
        (RIGHT, "right"),
    ],
)
def test_an_expected_response_has_no_finding(seen: Exchange, expect: str) -> None:
    assert checks(seen, expect) == []


@pytest.mark.parametrize(
    ("seen", "expect", "check"),
    [
        (BROKEN, "refused", "refusal.server_error"),
        (RIGHT, "refused", "refusal.accepted"),
        (exchange(400, DETAIL), "refused", "schema.error"),
        (HUNG, "refused", "refusal.transport"),
        (BROKEN, "refused or answered", "refusal.server_error"),
        (HUNG, "refused or right", "refusal.transport"),
        (WRONG, "refused or right", "edge_input.wrong"),
        (REFUSED, "answered", "liveness.answer"),
        (REFUSED, "right", "edge_input.answer"),
        (exchange(200, answer("")), "refused or answered", "liveness.answer"),
        (exchange(400, seconds=6), "refused", "refusal.deadline"),
        (exchange(200, answer("OK"), seconds=6), "refused or answered", "edge_input.deadline"),
    ],
)
def test_an_unexpected_response_is_found(seen: Exchange, expect: str, check: str) -> None:
    assert check in checks(seen, expect)


def test_the_body_of_the_web_framework_passes_where_it_is_allowed() -> None:
    assert checks(exchange(400, DETAIL), "refused", schema="detail") == []


def test_all_choices_must_be_there() -> None:
    assert checks(exchange(200, answer("OK", choices=3)), "refused or answered", choices=3) == []
    assert checks(exchange(200, answer("OK", choices=2)), "refused or answered", choices=3) == ["n.choices"]


def test_a_right_answer_holds_every_part() -> None:
    assert right(RIGHT, PARTS, 5) == []
    assert [found.check for found in right(RIGHT, (*PARTS, ("GARDEN",)), 5)] == ["edge_input.wrong"]
    assert [found.check for found in right(exchange(500), PARTS, 5)] == ["edge_input.answer"]


def test_memory_has_a_limit() -> None:
    assert memory_is_bounded(100, 100) == []
    assert [found.check for found in memory_is_bounded(101, 100)] == ["edge_input.memory"]


def reply(finish: str, tokens: int) -> Reply:
    return Reply("Red", finish, Usage(5, tokens, 5 + tokens), "m", 0.1)


def test_an_answer_that_stops_has_no_finding() -> None:
    assert stops(reply("stop", 3), 64) == []


@pytest.mark.parametrize(
    ("seen", "check"),
    [
        (reply("length", 64), "stop.never"),
        (reply("stop", 65), "stop.long"),
        (NoReply("HTTP 500"), "edge_input.answer"),
    ],
)
def test_an_answer_that_does_not_stop_is_found(seen: Reply | NoReply, check: str) -> None:
    assert [found.check for found in stops(seen, 64)] == [check]


LOOP = "the English and " * 40


def asked(text: str, finish: str = "stop", question: Any = "What is this?", **params: Any) -> list[str]:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0.0, **params}
    request = Request("POST", "/v1/chat/completions", body)
    return [found.check for found in sane(exchange(200, answer(text, finish), request=request))]


def test_a_sane_answer_has_no_finding() -> None:
    assert asked("The sign says RIVER 472.") == []


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_degenerate_answer_is_found_for_any_question(finish: str) -> None:
    assert "degeneracy.loop" in asked(LOOP, finish)
    assert "degeneracy.special_token" in asked("OK<|im_end|>", finish)


def test_a_degenerate_stream_is_found() -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "stream": True}
    chunk = {"choices": [{"index": 0, "delta": {"content": "!" * 40}, "finish_reason": "stop"}]}
    request = Request("POST", "/v1/chat/completions", body, stream=True)
    seen = exchange(200, request=request, frames=(Frame(1, json.dumps(chunk)), Frame(2, "[DONE]")))
    assert [found.check for found in sane(seen)] == ["degeneracy.run"]


@pytest.mark.parametrize(
    "params",
    [{"temperature": 0.7}, {"ignore_eos": True}, {"min_tokens": 50}, {"stop": ["a"]}, {"logit_bias": {"1": 9}}],
)
def test_an_answer_that_parameters_change_is_not_judged(params: dict[str, Any]) -> None:
    assert asked(LOOP, **params) == []


def test_a_character_cut_in_two_is_not_a_broken_encoding() -> None:
    assert asked("价格是\ufffd", "length") == []
    assert asked("价格是\ufffd", "stop") == ["degeneracy.encoding"]
    assert asked("价\ufffd格是", "length") == ["degeneracy.encoding"]


def test_degenerate_text_of_the_question_is_not_counted_in_the_answer() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [picture, {"type": "text", "text": "What stands between <image> and <image>?"}]
    assert asked("Between <image> and <image> stands a word.", question=parts) == []
    assert asked("Between <image> and <image> stands a word.", question=[picture]) == ["degeneracy.special_token"]
    assert asked("A \0 in it", question="Say \0") == []
    assert "degeneracy.control" in asked("A \0 in it")


def test_refusals_and_other_routes_are_not_judged() -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    assert sane(exchange(400, request=Request("POST", "/v1/chat/completions", body))) == []
    assert sane(exchange(200, {"tokens": LOOP}, request=Request("POST", "/tokenize", body))) == []
    assert sane(exchange(200, answer(LOOP), request=Request("POST", "/v1/chat/completions", b"{}"))) == []


def test_an_answer_or_a_readable_refusal_is_right() -> None:
    assert answered_or_refused(RIGHT, 5) == []
    assert answered_or_refused(REFUSED, 5) == []


@pytest.mark.parametrize(
    "wrong",
    [
        BROKEN,
        exchange(400, "no object"),
        exchange(404, ERROR),
        exchange(400, seconds=6),
        exchange(200, ERROR),
        exchange(200, answer("")),
        Exchange("r1", Request("POST", "/"), "t", 0, 1, error=ErrorDetail("reset", "gone")),
    ],
)
def test_any_other_response_to_a_picture_is_fatal(wrong: Exchange) -> None:
    found = answered_or_refused(wrong, 5)
    assert found and all(finding.fatal for finding in found)


def test_a_format_that_every_decoder_reads_is_not_refused() -> None:
    assert not_refused(RIGHT) == []
    assert not_refused(BROKEN) == []  # the other check reports it
    assert [found.observed for found in not_refused(exchange(415, ERROR))] == ["refused with 415"]


def test_tokens_are_judged_where_there_is_an_answer() -> None:
    assert prompt_tokens_are(Reply("x", "stop", Usage(35, 1, 36), "m", 0.1), 35) == []
    assert prompt_tokens_are(NoReply("HTTP 400: x"), 35) == []
    assert [found.observed for found in prompt_tokens_are(Reply("x", "stop", Usage(34, 1, 35), "m", 0.1), 35)] == ["34"]
    assert [found.observed for found in prompt_tokens_are(Reply("x", "stop", None, "m", 0.1), 35)] == ["no usage"]


def test_the_report_says_how_a_picture_was_handled() -> None:
    seen = [
        RIGHT,
        REFUSED,
        Exchange("r1", Request("GET", "/"), "t", 0, 1, error=ErrorDetail("timeout", "x")),
    ]
    assert [in_words(one) for one in seen] == ["accepted", "refused with 400", "timeout"]
