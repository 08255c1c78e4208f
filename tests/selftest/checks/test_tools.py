"""Calls of tools that are as was asked, and each way in which they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.tool_answers import ARGUMENTS, CALL, call, message, plain, streamed

from vlm_acceptance.checks import tools as checks
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads import tools as workload

GATE = {"open_gate": workload.PARAMETERS["open_gate"]}
ENDS = ("tool_calls",)
LOST = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone"))
ERROR = {"error": {"message": "no tools here", "type": "BadRequestError", "code": 400}}


def ids(found: list[Finding]) -> list[str]:
    return [finding.check for finding in found]


def judged(*calls: dict[str, Any], content: Any = "", reason: str = "tool_calls") -> list[str]:
    """The findings about an answer in one piece, which are those about it as a stream."""
    whole = checks.called(plain(message(*calls, content=content), reason), GATE, ENDS)
    pieces = [{**one, "index": number} for number, one in enumerate(calls)]
    stream = checks.called(streamed({"content": content}, {"tool_calls": pieces}, reason=reason), GATE, ENDS)
    assert ids(whole) == ids(stream)
    return ids(whole)


def test_the_right_call_has_no_finding() -> None:
    assert judged(CALL) == []
    assert judged(CALL, content="I open the gate.") == []
    assert ids(checks.called(plain(message(CALL, content=None)), GATE, ENDS)) == []
    assert ids(checks.called(plain(message(CALL), "stop"), GATE, ("stop", "tool_calls"))) == []


@pytest.mark.parametrize(
    ("arguments", "check"),
    [
        ("", "tools.arguments"),
        (ARGUMENTS[:-1], "tools.arguments"),
        (ARGUMENTS + "}", "tools.arguments"),
        ("The gate is open.", "tools.arguments"),
        ("NaN", "tools.arguments"),
        ("Infinity", "tools.arguments"),
        ("[" * 300 + "]" * 300, "tools.schema"),
        ("6.0", "tools.schema"),
        ("null", "tools.schema"),
        ("{}", "tools.schema"),
        ('{"gate": "east"}', "tools.schema"),
        ('{"gate": "north", "x": 1}', "tools.schema"),
    ],
)
def test_arguments_that_do_not_conform_are_named(arguments: str, check: str) -> None:
    assert judged(call(arguments)) == [check]


def test_another_tool_or_another_number_of_calls_is_named() -> None:
    assert judged(call(name="set_lamp")) == ["tools.name"]
    assert judged(CALL, {**CALL, "id": "b"}) == ["tools.call"]
    assert judged(content="The gate is open.") == ["tools.call"]
    (finding,) = checks.called(plain(message(content="The gate is open.")), GATE, ENDS)
    assert finding.observed == "no call; its text is 'The gate is open.'"


@pytest.mark.parametrize("reason", ["stop", "length", "function_call"])
def test_another_end_is_named(reason: str) -> None:
    assert judged(CALL, reason=reason) == ["tools.finish"]


@pytest.mark.parametrize(
    "content",
    [
        "<tool_call>",
        "a</tool_call>",
        '<tool_call>{"name": "x"',
        "<think>",
        "x</think>y",
        "[TOOL_CALLS]",
        "<|tool_call|>",
        "<function=open_gate>",
        '<|python_tag|>{"name": "x"',
        "<｜tool▁calls▁begin｜>",
        "<|action_start|><|plugin|>",
        "<minimax:tool_call>",
    ],
)
def test_marks_in_the_text_are_named(content: str) -> None:
    assert judged(CALL, content=content) == ["tools.markup"]


@pytest.mark.parametrize("content", ["I think <b>so</b>.", "a tool call", "<thinking cap>", "x < y", "[tool]"])
def test_other_texts_have_no_marks(content: str) -> None:
    assert judged(CALL, content=content) == []


def test_an_ordinary_text_has_no_marks() -> None:
    assert checks.unmarked(plain({"content": "It is 4."}, "stop")) == []
    assert ids(checks.unmarked(plain({"content": "4.</think>"}, "stop"))) == ["tools.markup"]
    assert ids(checks.unmarked(streamed({"content": "4.</th"}, {"content": "ink>"}, reason="stop"))) == ["tools.markup"]
    assert ids(checks.unmarked(LOST)) == ["tools.answer"]


def test_no_answer_is_named() -> None:
    for exchange in (LOST, plain(message(call({"gate": "north"}))), plain({"content": 5})):
        assert ids(checks.called(exchange, GATE, ENDS)) == ["tools.answer"]
    assert ids(checks.not_called(LOST, 8)) == ["tools.answer"]
    assert ids(checks.free(LOST, ("open_gate",), 8)) == ["tools.answer"]


def test_many_pieces_and_hostile_names_stay_bounded() -> None:
    pieces = [{"tool_calls": [{"index": "x" * 1000}], "content": "a"} for _ in range(20_000)]
    found = checks.called(streamed(*pieces), GATE, ENDS)
    assert len(found) < 10
    named = [{**call(name="n" * 5000), "id": str(number)} for number in range(3000)]
    assert all(len(one.observed) < 400 for one in checks.called(plain(message(*named)), GATE, ENDS))
    (flaws, names) = (checks.called(one, GATE, ENDS) for one in (streamed(*pieces), plain(message(*named))))
    assert flaws[5].observed == "and 19995 more flaws of calls"
    assert any("and 2996 more" in one.observed for one in names)
    assert checks.unmarked(plain({"content": "<|" + "tool" * 200_000}, "stop")) == []


@pytest.mark.parametrize(
    "said", [{"content": "a" * 100_000}, message(call("[" * 100_000)), {"reasoning": "a" * 100_000}]
)
def test_a_text_that_the_tokens_cannot_have_is_no_answer(said: dict[str, Any]) -> None:
    exchange = plain(said)
    asked = replace(exchange, request=Request("POST", CHAT, {"max_tokens": 8}))
    (found,) = checks.free(asked, ("open_gate",), 8)
    assert "100000 characters, more than 8 tokens can have" in found.observed


@pytest.mark.parametrize("said", [{"role": "assistant", "content": None}, {}, {"content": " "}, message()])
def test_an_answer_with_nothing_in_it_is_named(said: dict[str, Any]) -> None:
    names = ("open_gate",)
    for exchange in (plain(said, "stop"), streamed(said, reason="stop")):
        assert ids(checks.not_called(exchange, 8)) == ["tools.answer"]
        assert ids(checks.free(exchange, names, 8)) == ["tools.answer"]
        assert ids(checks.survived(exchange, names, 8, 5)) == ["tools.answer"]
    # one token that is not shown was all that was asked for
    assert checks.free(plain(said, "length"), names, 7) == []
    assert ids(checks.free(plain(said, None), names, 8)) == ["tools.answer", "tools.finish"]
    assert checks.free(plain({"reasoning": "A gate.", **said}, "stop"), names, 8) == []


@pytest.mark.parametrize("reason", [None, "error", "abort"])
def test_an_answer_without_a_call_ends_as_texts_do(reason: Any) -> None:
    answer = plain({"content": "Open."}, reason)
    assert ids(checks.not_called(answer, 8)) == ids(checks.free(answer, ("open_gate",), 8)) == ["tools.finish"]


def test_a_lost_brace_is_known_by_what_is_left() -> None:
    def piece(arguments: str) -> Exchange:
        return streamed({"tool_calls": [{**call(arguments), "index": 0}]})

    assert checks.lost_its_brace(piece(ARGUMENTS[1:]), GATE)
    assert checks.lost_its_brace(piece(" \r" + ARGUMENTS[1:]), GATE)
    for arguments in (ARGUMENTS, ARGUMENTS[2:], ARGUMENTS[1:-1], ARGUMENTS.replace("north", "east")[1:]):
        assert not checks.lost_its_brace(piece(arguments), GATE)
    assert not checks.lost_its_brace(plain(message(call(ARGUMENTS[1:]))), GATE)
    assert not checks.lost_its_brace(LOST, GATE)


def test_a_call_that_was_cut_is_known_by_its_tokens() -> None:
    assert checks.was_cut(plain(message(), "length"), 7)
    assert not checks.was_cut(plain(message(), "length"), 8)
    assert not checks.was_cut(plain(message(), "stop"), 7)
    # how a stream with a call ends, whatever ended it
    assert checks.was_cut(streamed({"tool_calls": [{**call('{"ga'), "index": 0}]}), 7)
    assert not checks.was_cut(streamed({"tool_calls": [{**call(), "index": 0}]}), 8)
    assert not checks.was_cut(plain(message(), "length", {"prompt_tokens": 5}), 7)
    assert not checks.was_cut(LOST, 7)
    assert not checks.was_cut_in_a_call(plain({"content": "A long text"}, "length"), 7)
    assert checks.was_cut_in_a_call(plain({"content": '<tool_call>{"na'}, "length"), 7)
    assert checks.was_cut_in_a_call(plain(message(call("{")), "length"), 7)
    assert not checks.was_cut_in_a_call(plain({"content": "<tool_call>"}, "stop"), 7)


def test_what_the_model_wrote_is_known() -> None:
    for exchange in (LOST, plain(message(call(name="x"))), plain({"content": "open_gate"}, "stop"), plain({}, "stop")):
        assert checks.was_written(exchange, "open_gate")
    assert not checks.was_written(plain({"content": "It is open."}, "stop"), "open_gate")
    assert [checks.calls_in(one) for one in (LOST, plain({}), plain(message(CALL, CALL)))] == [0, 0, 2]


def test_no_call_is_wanted() -> None:
    assert checks.not_called(plain({"content": "Open."}, "stop"), 8) == []
    assert ids(checks.not_called(plain(message(CALL)), 8)) == ["tools.call"]
    assert ids(checks.not_called(plain(message(), "tool_calls"), 8)) == ["tools.call"]


def test_a_free_choice_is_judged_by_its_form() -> None:
    names = ("open_gate",)
    assert checks.free(plain({"content": "Open."}, "stop"), names, 8) == []
    assert checks.free(plain(message(call('{"gate": "east"}'))), names, 8) == []
    assert ids(checks.free(plain(message(call("{"))), names, 8)) == ["tools.arguments"]
    assert ids(checks.free(plain(message(call("5"))), names, 8)) == ["tools.schema"]
    assert ids(checks.free(plain(message(call(name="x"))), names, 8)) == ["tools.name"]
    assert ids(checks.free(plain(message(content="Open."), "tool_calls"), names, 8)) == ["tools.finish"]
    assert ids(checks.free(plain(message(CALL), "stop"), names, 8)) == ["tools.finish"]
    assert ids(checks.free(plain({"content": "<tool_call>{}"}, "stop"), names, 8)) == ["tools.markup"]


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        ('[open_gate(gate="north")]', True),
        ('open_gate(gate="north")', True),
        ('{"name": "open_gate", "parameters": {"gate": "north"}}', True),
        ('[{"name": "open_gate", "arguments": {}}]', True),
        ('{"name": "open_gate"}', False),
        ('{"name": "other", "parameters": {}}', False),
        ("[]", False),
        ("[" * 5000, False),
        ('I would call open_gate(gate="north") now.', False),
        ('other(gate="north")', False),
    ],
)
def test_a_text_that_is_a_call_is_a_mark_left(text: str, is_call: bool) -> None:
    found = checks.free(plain({"content": text}, "stop"), ("open_gate",), 8)
    assert ids(found) == (["tools.markup"] if is_call else [])


def test_prompt_tokens_are_read_beside_a_call_without_text() -> None:
    reply = checks.counted(plain(message(CALL, content=None)))
    assert isinstance(reply, Reply)
    assert reply.usage == Usage(5, 7, 12)
    assert isinstance(checks.counted(LOST), NoReply)


def test_tools_that_are_not_offered_are_answered_or_refused() -> None:
    def refusal(status: int, body: Any = ERROR) -> Exchange:
        return Exchange("r1", Request("POST", CHAT), "t", 0, 1, status, body=json.dumps(body).encode())

    names = ("open_gate",)
    assert checks.survived(plain({"content": "Open."}, "stop"), names, 7, 5) == []
    assert checks.survived(refusal(400), names, 7, 5) == []
    assert checks.survived(plain(message(CALL), "stop"), names, 7, 5) == []
    # an endpoint that reads calls may be cut within one
    assert checks.survived(plain(message(call("{")), "length"), names, 7, 5) == []
    assert ids(checks.survived(plain(message(call("{")), "stop"), names, 7, 5)) == ["tools.arguments"]
    assert ids(checks.survived(refusal(500), names, 7, 5)) == ["refusal.server_error"]
    assert ids(checks.survived(refusal(400, "no"), names, 7, 5)) == ["schema.error"]
    assert ids(checks.survived(LOST, names, 7, 5)) == ["refusal.transport"]
    assert ids(checks.survived(plain({"content": "<tool_call>"}, "stop"), names, 7, 5)) == ["tools.markup"]
