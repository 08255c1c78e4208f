"""Faults of tools, each seen to act and to leave requests without tools alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fault_stages import CHAT, Call, Cut, Dose, Response, Stages, frame_of
from faults import FAULTS
from faults_tools import ROWS
from tests.support.tool_answers import CALL, message

from vlm_acceptance.checks import tools as checks
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange, Frame, Request
from vlm_acceptance.workloads import tools as workload

FREE = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
REFUSED = Response(400, {}, b'{"error": {"message": "no", "type": "BadRequestError", "code": 400}}')
GATE = {"open_gate": workload.PARAMETERS["open_gate"]}
PIECES = ("{", ' "', "gate", '": "', "north", '"', "}")


def stages(name: str) -> Stages:
    return FAULTS[name].apply(Dose(FAULTS[name].magnitude))


def call(body: Any) -> Call:
    return Call(0, "POST", CHAT, {}, json.dumps(body).encode())


def received(name: str, body: dict[str, Any]) -> dict[str, Any]:
    got = stages(name).request(call(body)).json()
    assert got is not None
    return got


def completion(said: dict[str, Any] | None = None, reason: str = "tool_calls") -> Response:
    choice = {"index": 0, "message": said or message(CALL), "finish_reason": reason}
    return Response(200, {}, json.dumps({"choices": [choice]}).encode())


def events() -> Iterator[bytes]:
    """A call as a stream."""
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "open_gate"}}
    deltas = [
        {"role": "assistant", "content": ""},
        {"tool_calls": [first]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in PIECES),
        {},
    ]
    ends = [None] * (len(deltas) - 1) + ["tool_calls"]
    for delta, end in zip(deltas, ends, strict=True):
        yield frame_of({"choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
    yield b"data: [DONE]\n\n"


def findings(name: str) -> tuple[list[str], list[str]]:
    """The findings about a right call behind the fault, in one piece and streamed."""
    asked, made = call(workload.call_body("m", "required")), stages(name)
    plain = Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=made.response(asked, completion()).body)
    frames = [frame.decode().removeprefix("data: ").strip() for frame in made.frames(asked, events())]
    request = Request("POST", CHAT, {}, stream=True)
    whole = Exchange(
        "r2", request, "t", 0, 1, 200, frames=tuple(Frame(number, text) for number, text in enumerate(frames))
    )
    judged = [checks.called(exchange, GATE, ("tool_calls",)) for exchange in (plain, whole)]
    return [found.check for found in judged[0]], [found.check for found in judged[1]]


def test_a_right_call_has_no_finding() -> None:
    assert findings("tools-ignored") == ([], [])


@pytest.mark.parametrize(
    ("name", "plain", "streamed"),
    [
        ("tool-of-another-name", "tools.name", "tools.name"),
        ("tool-arguments-cut", "tools.arguments", "tools.arguments"),
        ("tool-arguments-object", "tools.answer", ""),
        ("tool-piece-lost", "", "tools.schema"),
        ("tool-piece-doubled", "", "tools.schema"),
        ("tool-index-wrong", "", "tools.form"),
        ("tool-name-repeated", "", "tools.form"),
        ("tool-id-missing", "tools.form", "tools.form"),
        ("tool-called-twice", "tools.call", "tools.call"),
        ("tool-finish-wrong", "tools.finish", "tools.finish"),
        ("tool-required-stops", "tools.finish", "tools.finish"),
        ("tool-mark-left", "tools.markup", "tools.markup"),
        ("tool-call-as-text", "tools.markup", "tools.markup"),
    ],
)
def test_a_call_is_spoiled(name: str, plain: str, streamed: str) -> None:
    found = findings(name)
    assert [one[:1] for one in found] == [[check] if check else [] for check in (plain, streamed)]


@pytest.mark.parametrize("name", [row[0] for row in ROWS if row[0] != "text-mark-left"])
def test_requests_without_tools_are_left_alone(name: str) -> None:
    made = stages(name)
    assert received(name, FREE) == FREE
    answer = completion({"role": "assistant", "content": "It is 4."}, "stop")
    assert json.loads(made.response(call(FREE), answer).body) == json.loads(answer.body)
    assert made.instead(call(FREE)) is None


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("tools-ignored", {"required", "named", "named-picture"}),
        ("tools-ignored-picture", {"named-picture"}),
        ("tool-required-ignored", {"required"}),
        ("tools-ignored-streamed", set()),
    ],
)
def test_demanded_calls_are_dropped(name: str, dropped: set[str]) -> None:
    sent = {choice: workload.call_body("m", choice) for choice in workload.CHOICES}
    assert {choice for choice, body in sent.items() if "tools" not in received(name, body)} == dropped
    free = workload.body("m", "auto")
    assert received(name, free) == free
    streamed = workload.call_body("m", "named", stream=True)
    assert ("tools" in received("tools-ignored-streamed", streamed)) is False


def test_a_mark_is_left_in_every_text() -> None:
    answer = completion({"role": "assistant", "content": "It is 4."}, "stop")
    body = json.loads(stages("text-mark-left").response(call(FREE), answer).body)
    assert body["choices"][0]["message"]["content"] == "It is 4.</think>"


def test_parameters_and_choices_are_changed() -> None:
    body = workload.call_body("m", "named")
    gate = received("tool-enum-ignored", body)["tools"][1]["function"]["parameters"]["properties"]["gate"]
    assert gate["enum"] == ["northx", "southx"]
    assert received("tool-called-anyway", workload.body("m", "none"))["tool_choice"] == "required"
    assert received("tool-called-anyway", body) == body


def roles(name: str, shape: str) -> list[str]:
    body = workload.growth_bodies("m", Chance("1"), "amber", shape)[workload.BASE]
    return [one["role"] for one in received(name, body)["messages"]]


def test_answers_of_tools_are_lost_or_doubled() -> None:
    for shape in workload.SHAPES:
        whole = roles("tools-ignored", shape)
        lost = [role for role in whole if role != "tool"]
        assert roles("tool-answer-lost", shape) == lost
        assert roles("tool-answer-twice", shape) == [*whole[:2], "tool", *whole[2:]]
        assert roles("tool-answer-lost-picture", shape) == (lost if shape == "picture" else whole)


def test_texts_of_a_call_and_of_its_answer_are_lost() -> None:
    sent = workload.growth_bodies("m", Chance("1"), "amber", "list")[workload.BASE]
    assert received("tool-answer-list-lost", sent)["messages"][2]["content"] == "-"
    assert received("tool-history-lost", sent)["messages"][1]["tool_calls"] == []
    text = workload.growth_bodies("m", Chance("1"), "amber", "text")[workload.BASE]
    assert received("tool-answer-list-lost", text) == text


def test_definitions_of_tools_are_lost() -> None:
    sent = workload.growth_bodies("m", Chance("1"), "amber", "text")
    assert {name: "tools" in received("tool-definitions-lost", body) for name, body in sent.items()} == {
        name: name.startswith(workload.ALONE) for name in sent
    }


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_nothing_is_said_where_no_call_is_demanded(choice: str) -> None:
    answer = completion({"role": "assistant", "content": "It is open."}, "stop")
    made = stages("tool-nothing-said").response(call(workload.body("m", choice)), answer)
    assert json.loads(made.body)["choices"][0]["message"]["content"] is None
    kept = stages("tool-nothing-said").response(call(workload.body("m", "required")), answer)
    assert json.loads(kept.body) == json.loads(answer.body)


def test_pictures_of_tools_are_lost() -> None:
    sent = workload.picture_bodies("m")
    lost = {name: received("tool-picture-lost", body) for name, body in sent.items()}
    assert lost[workload.BASE_SEEN] == lost[workload.BASE] == sent[workload.BASE]
    assert lost[workload.ALONE_SEEN] == sent[workload.ALONE_SEEN]


def test_refused_tools_are_answered() -> None:
    bad = call({**FREE, **workload.bad_tools()["choice-without-tools"]})
    assert stages("bad-tools-accepted").response(bad, REFUSED).status == 200
    assert stages("bad-tools-error").response(bad, REFUSED).status == 500
    assert stages("bad-tools-error").response(call(FREE), REFUSED) == REFUSED
    ends = stages("bad-tools-end-engine")
    with pytest.raises(Cut):
        ends.response(bad, REFUSED)
    with pytest.raises(Cut):
        ends.instead(call(FREE))
    assert ends.instead(call(FREE)) is None
