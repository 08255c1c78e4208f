"""Answers with calls of tools and with reasoning, as they are read: in one piece, and joined from a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.tool_answers import CALL, message, plain, streamed

from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, NoReply, Request
from vlm_acceptance.core.tool_calls import Call, ToolAnswer, tool_answer

FIRST = {"index": 0, "id": "a", "type": "function", "function": {"name": "open_gate"}}


def read(exchange: Exchange) -> ToolAnswer:
    answer = tool_answer(exchange)
    assert isinstance(answer, ToolAnswer), answer
    return answer


def piece(text: Any, index: Any = 0, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}, **more}]}


def test_a_call_is_read_from_one_piece_and_from_a_stream() -> None:
    wanted = (Call("a", "open_gate", '{"gate": "north"}'),)
    first = {"tool_calls": [FIRST]}
    whole = streamed({"role": "assistant", "content": ""}, first, piece('{"gate"'), piece(': "north"}'))
    for answer in (read(plain(message(CALL))), read(whole)):
        assert (answer.calls, answer.content, answer.flaws) == (wanted, "", ())
        assert answer.finish_reason == "tool_calls"
        assert answer.usage is not None


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_from_both_fields(name: str) -> None:
    assert read(plain({"content": "85", name: "Let me see."})).reasoning == "Let me see."
    answer = read(streamed({name: "Let me "}, {name: "see."}, {"content": "85"}))
    assert (answer.reasoning, answer.content, answer.late) == ("Let me see.", "85", "")
    assert read(streamed({"content": "8"}, {name: "oh"}, {"content": "5"})).late == "oh"


def test_two_calls_are_told_apart_by_their_index() -> None:
    second = {**FIRST, "index": 1, "id": "b"}
    answer = read(streamed({"tool_calls": [FIRST]}, {"tool_calls": [second]}, piece("1", 0), piece("2", 1)))
    assert [(call.id, call.arguments) for call in answer.calls] == [("a", "1"), ("b", "2")]
    assert answer.flaws == ()


@pytest.mark.parametrize(
    ("deltas", "flaw"),
    [
        ([piece("{}", 1)], "a call has the index 1 after 0 calls"),
        ([piece("{}", None)], "a call has the index None after 0 calls"),
        ([piece("{}", True)], "a call has the index True"),
        ([piece("{}", -1)], "a call has the index -1"),
        ([piece("{}", 0)], "call 1 has no id: None"),
        ([{"tool_calls": [FIRST]}, piece("{}", 2)], "a call has the index 2 after 1 calls"),
        ([{"tool_calls": [{**FIRST, "function": {}}]}], "call 1 has no name: None"),
        ([{"tool_calls": [{**FIRST, "type": "magic"}]}], "call 1 is of type 'magic'"),
        ([{"tool_calls": [FIRST]}, piece("{}", 0, id="b")], "call 1 gets its id twice: 'a', then 'b'"),
        ([{"tool_calls": [FIRST]}, {"tool_calls": [FIRST]}], "call 1 gets its name twice"),
    ],
)
def test_pieces_that_do_not_fit_are_named(deltas: list[dict[str, Any]], flaw: str) -> None:
    assert any(one.startswith(flaw) for one in read(streamed(*deltas)).flaws)


def test_an_id_that_is_repeated_does_no_harm() -> None:
    assert read(streamed({"tool_calls": [FIRST]}, piece("{}", 0, id="a"))).flaws == ()


@pytest.mark.parametrize(
    "body",
    [
        b"oh",
        b"[]",
        b"{}",
        json.dumps({"choices": []}).encode(),
        json.dumps({"choices": [{"message": None}]}).encode(),
        json.dumps({"choices": [{"message": {"content": 5}}]}).encode(),
        json.dumps({"choices": [{"message": {"reasoning": ["x"]}}]}).encode(),
        json.dumps({"choices": [{"message": {"tool_calls": 5}}]}).encode(),
        json.dumps({"choices": [{"message": {"tool_calls": ["x"]}}]}).encode(),
        json.dumps(
            {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"arguments": {"a": 1}}}]}}]}
        ).encode(),
        json.dumps({"error": {"message": "no"}}).encode(),
    ],
)
def test_what_is_no_answer_is_said(body: bytes) -> None:
    exchange = Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=body)
    assert isinstance(tool_answer(exchange), NoReply)


def test_a_stream_without_events_or_with_an_error_has_no_answer() -> None:
    assert isinstance(tool_answer(streamed()), NoReply)
    assert isinstance(tool_answer(streamed(events=[{"error": {"message": "no"}}])), NoReply)
    assert isinstance(tool_answer(streamed(events=[[]])), NoReply)
    lost = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone"))
    assert isinstance(tool_answer(lost), NoReply)
