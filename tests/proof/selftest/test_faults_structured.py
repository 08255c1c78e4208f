"""Faults of structured output, each seen to act and to leave free requests alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fault_stages import CHAT, Call, Cut, Dose, Response, Stages, frame_of, text_of
from faults import FAULTS
from faults_structured import GUIDED, ROWS, guided_obeyed

from vlm_acceptance.workloads import structured_output as workload

FREE = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
PICTURE = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
REFUSED = {"error": {"message": "no", "type": "BadRequestError", "code": 400}}


def stages(name: str) -> Stages:
    return FAULTS[name].apply(Dose(FAULTS[name].magnitude))


def call(body: Any, number: int = 0) -> Call:
    return Call(number, "POST", CHAT, {}, json.dumps(body).encode())


def constrained(name: str, **more: Any) -> dict[str, Any]:
    return {**FREE, **json.loads(json.dumps(dict(workload.CONSTRAINTS[name].fields))), **more}


def received(name: str, body: dict[str, Any]) -> dict[str, Any]:
    got = stages(name).request(call(body)).json()
    assert got is not None
    return got


def completion(text: str) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Response(200, {}, json.dumps({"choices": [choice]}).encode())


def answered(name: str, asked: dict[str, Any], text: str) -> tuple[str, str]:
    """Text and finish_reason of an answer; the text is the same as a stream."""
    made = stages(name)
    choice = json.loads(made.response(call(asked), completion(text)).body)["choices"][0]
    pieces: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": text[:3]}, "finish_reason": None},
        {"index": 0, "delta": {"content": text[3:]}, "finish_reason": "stop"},
    ]
    frames = made.frames(call(asked), iter([frame_of({"choices": [piece]}) for piece in pieces]))
    assert "".join(map(text_of, frames)) == choice["message"]["content"]
    return choice["message"]["content"], choice["finish_reason"]


@pytest.mark.parametrize(
    ("fault", "own"),
    [
        ("json-object-ignored", "json_object"),
        ("json-schema-ignored", "json_schema"),
        ("structured-json-ignored", "json"),
        ("structured-choice-ignored", "choice"),
        ("structured-regex-ignored", "regex"),
        ("structured-grammar-ignored", "grammar"),
    ],
)
def test_one_kind_of_constraint_is_dropped(fault: str, own: str) -> None:
    for name in workload.CONSTRAINTS:
        body = constrained(name)
        assert received(fault, body) == (FREE if name == own else body)


def test_constraints_are_dropped_from_streams_or_with_pictures_alone() -> None:
    for name in workload.CONSTRAINTS:
        body = constrained(name, stream=True)
        assert received("structured-ignored-streamed", body) == {**FREE, "stream": True}
        assert received("structured-ignored-streamed", constrained(name)) == constrained(name)
        assert received("structured-ignored-picture", constrained(name, **PICTURE)) == {**FREE, **PICTURE}
        assert received("structured-ignored-picture", body) == body


def test_a_schema_allows_other_values_or_lengths() -> None:
    for name in ("json", "json_schema"):
        shown = json.dumps(received("structured-enum-ignored", constrained(name)))
        assert '"enum": ["k7x", "m3x"]' in shown
        assert '"enum": [12, 34]' in shown
        shown = json.dumps(received("structured-bounds-ignored", constrained(name)))
        assert '"minItems": 5, "maxItems": 6' in shown


def test_only_the_first_choice_is_left() -> None:
    assert received("structured-first-choice", constrained("choice"))["structured_outputs"] == {
        "choice": workload.CHOICES[:1]
    }


def test_json_loses_its_brace_or_is_fenced() -> None:
    for name in ("json_object", "json_schema", "json"):
        assert answered("structured-brace-lost", constrained(name), '{"a": {}}\n') == ('{"a": {}', "stop")
        assert answered("structured-fenced", constrained(name), '{"a": 1}') == ('```json\n{"a": 1}\n```', "stop")
    for body in (FREE, constrained("regex")):
        assert answered("structured-brace-lost", body, "some text") == ("some text", "stop")
        assert answered("structured-fenced", body, "some text") == ("some text", "stop")


def test_a_constrained_answer_says_that_it_was_cut() -> None:
    assert answered("structured-never-ends", constrained("choice"), "some text") == ("some text", "length")
    assert answered("structured-never-ends", FREE, "some text") == ("some text", "stop")


OPENAPI = {"components": {"schemas": {"ChatCompletionRequest": {"properties": {"model": {}}}}}}


def fields_of(made: Stages) -> set[str]:
    """Fields of a chat request in `/openapi.json` beside those of the engine."""
    page = made.response(Call(0, "GET", "/openapi.json", {}), Response(200, {}, json.dumps(OPENAPI).encode())).body
    return json.loads(page)["components"]["schemas"]["ChatCompletionRequest"]["properties"].keys() - {"model"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("guided-json-ignored", "json"),
        ("guided-regex-ignored", "regex"),
        ("guided-choice-ignored", "choice"),
        ("guided-grammar-ignored", "grammar"),
    ],
)
def test_a_form_of_older_versions_is_documented_and_not_seen(fault: str, kind: str) -> None:
    assert fields_of(stages(fault)) == {f"guided_{kind}"}
    body = json.loads(json.dumps({**FREE, **workload.GUIDED[f"guided_{kind}"].fields}))
    assert received(fault, body) == body
    # a server that has it, and one that fails on it
    obeyed = guided_obeyed().request(call(body)).json()
    assert obeyed == json.loads(json.dumps({**FREE, **workload.CONSTRAINTS[kind].fields}))
    fails = stages("guided-error").instead(call(body))
    assert fails is not None
    assert fails.status == 500


def test_a_request_without_such_a_form_does_not_fail() -> None:
    assert fields_of(guided_obeyed()) == {f"guided_{kind}" for kind in GUIDED}
    assert stages("guided-error").instead(call(FREE)) is None


@pytest.mark.parametrize(("name", "status"), [("bad-constraint-accepted", 200), ("bad-constraint-error", 500)])
def test_a_bad_constraint_is_answered_wrongly(name: str, status: int) -> None:
    refused = Response(400, {}, json.dumps(REFUSED).encode())
    assert stages(name).response(call(constrained("regex")), refused).status == status
    assert stages(name).response(call(FREE), refused) == refused


def test_a_bad_constraint_ends_the_engine_for_a_while() -> None:
    made = stages("bad-constraint-ends-engine")
    assert made.instead(call(FREE)) is None
    with pytest.raises(Cut):
        made.response(call(constrained("regex")), Response(400, {}, json.dumps(REFUSED).encode()))
    with pytest.raises(Cut):
        made.instead(call(FREE))
    assert made.instead(call(FREE)) is None


@pytest.mark.parametrize("name", workload.rare_constraints())
def test_a_rare_constraint_ends_the_engine_for_a_while(name: str) -> None:
    made = stages("rare-constraint-ends-engine")
    assert [made.instead(call(constrained(other))) for other in workload.CONSTRAINTS] == [None] * 6
    with pytest.raises(Cut):
        made.instead(call({**FREE, **workload.rare_constraints()[name]}))
    with pytest.raises(Cut):
        made.instead(call(FREE))
    assert made.instead(call(FREE)) is None


def burst_call(number: int) -> Call:
    fields = json.loads(json.dumps(dict(workload.burst()[number].fields)))
    return call({**FREE, **fields}, number)


def test_schemas_are_mixed_up_once_many_are_in_flight() -> None:
    made = stages("schemas-mixed-up")
    calls = [burst_call(number) for number in range(5)]
    assert [made.request(one) for one in calls[:4]] == calls[:4]
    assert made.request(calls[4]).json() == calls[0].json()
    made.response(calls[0], completion("a"))
    assert list(made.frames(calls[1], iter([b"data: x\n\n"]))) == [b"data: x\n\n"]
    later = burst_call(7)
    assert made.request(later) == later  # three are left


def test_free_answers_change_beside_many_schemas() -> None:
    made = stages("free-beside-schemas")
    for number in range(4):
        made.request(burst_call(number))
    beside = call(FREE, 90)
    assert made.request(beside) == beside
    assert (
        json.loads(made.response(beside, completion("A story.")).body)["choices"][0]["message"]["content"]
        == "{A story."
    )
    own = burst_call(3)
    assert b'"content":"{}"' in made.response(own, completion("{}")).body


def test_json_is_answered_without_its_picture_and_free_text_with_it() -> None:
    made = stages("structured-picture-unseen")
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    asked = {**FREE, "messages": [{"role": "user", "content": [picture, {"type": "text", "text": "q"}]}]}
    demanded = {**asked, **json.loads(json.dumps(dict(workload.CONSTRAINTS["json_object"].fields)))}
    changed = made.request(call(demanded)).json()
    assert changed is not None
    assert changed["messages"][0]["content"] == [{"type": "text", "text": "q"}]
    assert made.request(call(asked)) == call(asked)


def test_every_fault_of_this_family_is_seen_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [row[0] for row in ROWS if f'"{row[0]}"' not in source] == []
