"""Constrained answers that obey, and each way in which they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vlm_acceptance.checks import structured_output as checks
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.workloads import structured_output as workload
from vlm_acceptance.workloads.structured_output import CONSTRAINTS

MODEL = "m"
OBEYED = {
    "json_object": '{ "any": [1] }',
    "json_schema": '{"zone": "k7", "post": {"row": 12, "lit": true}, "marks": [5, 6]}',
    "json": '{"zone":\t"m3", "post": {"row": 34, "lit": false}, "marks": [5, 6, 5]}\n',
    "regex": "860-DZ",
    "choice": "quiet harbour 38",
    "grammar": "level 4 left",
}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def answer(text: Any, reason: Any = "stop", usage: Any = None, max_tokens: int = 48) -> Exchange:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    body = {"id": "c", "model": MODEL, "choices": [choice], "usage": usage or USAGE}
    request = Request("POST", CHAT, {"model": MODEL, "max_tokens": max_tokens})
    return Exchange("r1", request, "t", 0, 1, 200, body=json.dumps(body).encode())


def streamed(*pieces: str, reason: str = "stop") -> Exchange:
    ends = [None] * (len(pieces) - 1) + [reason]
    chunks = [
        {"model": MODEL, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": end}]}
        for piece, end in zip(pieces, ends, strict=True)
    ]
    frames = tuple(Frame(number, json.dumps(chunk)) for number, chunk in enumerate(chunks))
    return Exchange("r1", Request("POST", CHAT, {"stream": True}, stream=True), "t", 0, 1, 200, frames=frames)


def found(exchange: Exchange, name: str, max_tokens: int = 48) -> list[str]:
    return [finding.check for finding in checks.obeyed(exchange, CONSTRAINTS[name], max_tokens)]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_an_answer_that_obeys_has_no_finding(name: str) -> None:
    text = OBEYED[name]
    assert found(answer(text), name) == []
    assert found(streamed(text[:3], text[3:]), name) == []


@pytest.mark.parametrize(
    ("name", "text", "check"),
    [
        *((name, "Once upon a time", "structured.json") for name in ("json_object", "json_schema", "json")),
        ("json_object", "[1]", "structured.schema"),
        ("json_object", '{"a": NaN}', "structured.json"),
        ("json_object", '```json\n{"a": 1}\n```', "structured.json"),
        ("json_schema", OBEYED["json_schema"][:-1], "structured.json"),
        ("json_schema", OBEYED["json_schema"].replace("k7", "k9"), "structured.schema"),
        ("json_schema", OBEYED["json_schema"].replace("[5, 6]", "[5]"), "structured.schema"),
        ("json_schema", OBEYED["json_schema"].replace("[5, 6]", "[5, 5, 5, 5]"), "structured.schema"),
        ("json_schema", OBEYED["json_schema"].replace("12", '"12"'), "structured.schema"),
        ("json_schema", OBEYED["json_schema"].replace('"lit"', '"let"'), "structured.schema"),
        ("json", "{}", "structured.schema"),
        ("regex", "860-DZZ", "structured.pattern"),
        ("regex", "It is 860-DZ.", "structured.pattern"),
        ("regex", "860-DZ\n", "structured.pattern"),
        ("choice", "quiet harbour", "structured.pattern"),
        ("grammar", "level 5 left", "structured.pattern"),
        ("grammar", "", "structured.pattern"),
    ],
)
def test_an_answer_that_does_not_obey_is_named(name: str, text: str, check: str) -> None:
    assert found(answer(text), name) == [check]
    assert found(streamed(text), name) == [check]
    finding = checks.obeyed(answer(text), CONSTRAINTS[name], 48)[0]
    assert finding.observed.startswith(f"{CONSTRAINTS[name].name} was sent, and the answer is ")


@pytest.mark.parametrize("reason", ["length", None, "content_filter", {"a": 1}, 5])
def test_a_bounded_answer_must_end_by_itself(reason: Any) -> None:
    assert found(answer(OBEYED["choice"], reason), "choice") == ["structured.finish"]


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ('{"zone": "k7", "po', True),
        ('{"zone"  :\n"m', True),
        ('{"zone": "k', True),
        ('{"zone": "', True),
        ('{"zo', True),
        ('{"zone": "q9", "po', False),
        ('{"zone": "k77', False),
        ('{"post": {"row": 12}, "zone": "a long story', False),
    ],
)
def test_a_listed_text_is_judged_in_json_that_was_cut(text: str, is_right: bool) -> None:
    assert found(answer(text, "length", max_tokens=7), "json", 7) == ([] if is_right else ["structured.schema"])


def test_json_that_was_cut_must_be_the_start_of_json() -> None:
    cut = answer(OBEYED["json"][:20], "length", max_tokens=7)
    assert found(cut, "json", 7) == []
    assert found(answer("Once upon", "length", max_tokens=7), "json", 7) == ["structured.json"]
    # it says that it was cut, and was not
    assert found(answer(OBEYED["json"][:20], "length"), "json", 48) == ["usage.limit"]


@pytest.mark.parametrize("text", [None, 5, ["a"], {"a": 1}])
def test_an_answer_without_text_is_found(text: Any) -> None:
    assert found(answer(text), "json") == ["structured.answer"]
    lost = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone"))
    assert found(lost, "regex") == ["structured.answer"]


def test_hostile_json_is_only_found() -> None:
    deep = '{"zone": ' + "[" * 400 + "]" * 400 + "}"
    assert found(answer(deep), "json") == ["structured.schema"]
    assert found(answer("[" * 100_000), "json")[0] == "structured.answer"


def test_a_rare_constraint_is_answered_or_refused() -> None:
    error = {"error": {"message": "no such thing", "type": "BadRequestError", "code": 400}}
    refusal = Exchange("r1", Request("POST", CHAT), "t", 0, 1, 400, body=json.dumps(error).encode())
    assert checks.survived(answer("OK"), 5) == []
    assert checks.survived(refusal, 5) == []
    assert [f.check for f in checks.survived(replace(refusal, status=500), 5)] == ["refusal.server_error"]
    assert [f.check for f in checks.survived(replace(refusal, body=b"oh"), 5)] == ["refusal.body"]
    lost = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone"))
    assert [f.check for f in checks.survived(lost, 5)] == ["refusal.transport"]


def test_the_picture_decides() -> None:
    right = [(colour, answer(colour)) for colour in workload.COLOURS]
    assert checks.picture_decides(right) == []
    one_wrong = [*right[:3], ("Yellow", answer("Red"))]
    assert checks.picture_decides(one_wrong) == []
    (finding,) = checks.picture_decides([*one_wrong[:2], ("Blue", answer("Red")), one_wrong[3]])
    assert finding.check == "structured.content"
    assert "2 of 4 answers are wrong: 'Red' where 'Blue' is seen" in finding.observed


def test_all_words_of_a_picture_count() -> None:
    seen = [("RIVER 472", answer('{"text": "River no. 472"}')), ("GARDEN 815", answer('{"text": "GARDEN"}'))]
    assert [found.check for found in checks.picture_decides(seen)] == ["structured.content"]


def test_free_answers_must_not_change() -> None:
    one = answer("A story.")
    assert checks.unchanged(one, replace(one, id="r2"), None) == []
    assert [f.check for f in checks.unchanged(one, answer("{A story."), None)] == ["structured.beside"]
    lost = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone"))
    assert [f.check for f in checks.unchanged(one, lost, None)] == ["structured.beside"]
    assert [f.check for f in checks.unchanged(lost, one, None)] == ["protocol.answer"]


def test_every_schema_of_the_burst_is_another_one() -> None:
    burst = workload.burst()
    for constraint in burst:
        schema: Any = constraint.schema
        own = {key: part["enum"][0] for key, part in schema["properties"].items()}
        obeying = [other for other in burst if not checks.obeyed(answer(json.dumps(own)), other, 48)]
        assert obeying == [constraint]


@pytest.mark.parametrize(
    ("text", "reason", "is_open"),
    [
        ('{"text": "The sign', "stop", True),
        ('{"te', "stop", True),
        ('{"text": "The sign', "length", False),
        ('{"text": "a"', "stop", False),
        ('{"text": "a"}', "stop", False),
        ("The sign", "stop", False),
        ("", "stop", False),
    ],
)
def test_a_turn_that_ends_within_a_text_is_seen(text: str, reason: str, is_open: bool) -> None:
    assert checks.ends_in_a_string(answer(text, reason)) is is_open


def test_a_field_is_offered_if_the_server_documents_it() -> None:
    def page(value: Any, status: int = 200) -> Exchange:
        request = Request("GET", "/openapi.json")
        return Exchange("r1", request, "", 0, 1, status, body=json.dumps(value).encode())

    documented = {"components": {"schemas": {"ChatCompletionRequest": {"properties": {"guided_json": {}}}}}}
    assert checks.offers(page(documented), "guided_json")
    assert not checks.offers(page(documented), "guided_regex")
    assert not checks.offers(page(documented, 404), "guided_json")
    for hostile in (None, 7, [], "text", {"components": []}, {"components": {"schemas": {"ChatCompletionRequest": 3}}}):
        assert not checks.offers(page(hostile), "guided_json")
