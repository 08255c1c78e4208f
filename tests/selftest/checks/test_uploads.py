"""Uploads: kinds of picture files, large bodies, pictures between texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.checks.uploads import large_body_is_taken, misread, none_read, taken, tokens_of_parts
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.tiles import TileRule

RULE = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)
OWN = Picture(Path("a.png"), (("4711",), ("red",)), frozenset({"4711"}))
OTHER = Picture(Path("b.png"), (("2902",),), frozenset({"2902"}))
QUESTION = Question("q", "Which number?", "en", (1, 64), 64, 0, (OWN, OTHER))
ERROR = {"error": {"message": "no such mode", "type": "BadRequestError", "param": None, "code": 400}}
HOSTILE: tuple[Any, ...] = (None, 7, [], "text", {"error": 3}, {"choices": {}}, {"choices": [{"message": []}]}, {})


def answer(text: str, prompt: object = 31) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": 3, "total_tokens": 34}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def exchange(status: int | None, body: Any = ERROR, **more: Any) -> Exchange:
    return Exchange(
        "r1", Request("POST", "/v1/chat/completions", {}), "", 0, NS, status, body=json.dumps(body).encode(), **more
    )


def judged(seen: Exchange, tokens: int | None = 31, **more: Any) -> list[kinds.FindingClass]:
    return [found.kind for found in taken(seen, 5, tokens, **{"may_be_refused": False, **more})]


RIGHT, REFUSED, BROKEN = exchange(200, answer("4711 red")), exchange(400), exchange(500)


def test_where_no_picture_is_read_the_first_failure_is_named() -> None:
    lost = BROKEN.reply
    assert isinstance(lost, NoReply)
    [found] = none_read([lost, lost], 4)
    assert found.kind is kinds.FORMAT_UNREAD
    assert found.observed == f"none: 2 of 4 requests got no answer, the first: {lost}"
    assert "HTTP 500" in found.observed
    assert found.exchange is BROKEN
    assert none_read([], 4)[0].observed == "none: all were answered, and no answer is right"


def test_a_common_kind_must_be_answered() -> None:
    assert judged(RIGHT) == []
    assert judged(REFUSED) == [kinds.FORMAT_REFUSED]
    assert judged(BROKEN) == [kinds.FORMAT_ANSWER]
    assert judged(exchange(None, error=ErrorDetail("reset", "by peer"))) == [kinds.FORMAT_ANSWER]


def test_a_rare_kind_may_be_refused_but_readably() -> None:
    assert judged(REFUSED, may_be_refused=True) == []
    assert judged(exchange(415, "no"), may_be_refused=True) != []
    assert judged(BROKEN, may_be_refused=True) == [kinds.REFUSAL_SERVER_ERROR]


@pytest.mark.parametrize("seen", [30, None, "31"])
def test_a_kind_costs_the_tokens_of_a_png(seen: object) -> None:
    assert judged(exchange(200, answer("4711 red", seen))) == [kinds.FORMAT_TOKENS]
    assert judged(exchange(200, answer("4711 red", seen)), tokens=None) == []


def test_a_count_that_is_no_number_is_no_answer() -> None:
    assert judged(exchange(200, answer("4711 red", float("nan")))) == [kinds.FORMAT_ANSWER]


def test_another_answer_than_that_about_the_png_is_named() -> None:
    assert misread(QUESTION, OWN, RIGHT, ()) == []
    [found] = misread(QUESTION, OWN, exchange(200, answer("4711 blue")), ())
    assert (found.kind, found.observed) == (kinds.FORMAT_UNREAD, "'4711 blue'")
    assert found.expected == "'4711' and 'red', as the PNG of the same picture is read"
    [found] = misread(QUESTION, OWN, exchange(200, answer("2902 red")), ())
    assert found.kind is kinds.UPLOAD_MIXED_UP
    assert misread(QUESTION, OWN, exchange(200, answer(" ")), ())[0].kind is kinds.FORMAT_UNREAD


def test_a_refusal_is_not_judged_as_an_answer() -> None:
    assert misread(QUESTION, OWN, REFUSED, ()) == []


def test_a_large_body_is_answered_or_its_size_is_named() -> None:
    assert large_body_is_taken(RIGHT, (707, 707), 2_000_000) == []
    [found] = large_body_is_taken(exchange(413), (707, 707), 2_000_000)
    assert found.expected == "an answer to a request of 2.0 MB with a PNG of 707 x 707 pixels"
    assert "limits requests: HTTP 413" in found.observed
    cut = exchange(None, None, error=ErrorDetail("reset", "by peer"))
    assert large_body_is_taken(cut, (707, 707), 2_000_000)[0].observed.endswith("limits requests: reset: by peer")
    assert "limits" not in large_body_is_taken(BROKEN, (707, 707), 2_000_000)[0].observed


@pytest.mark.parametrize("body", HOSTILE)
def test_a_body_of_any_shape_is_a_finding(body: Any) -> None:
    assert judged(exchange(200, body), may_be_refused=True)
    assert judged(exchange(400, body), may_be_refused=True)
    assert misread(QUESTION, OWN, exchange(200, body), ()) == []
    assert large_body_is_taken(exchange(200, body), (1, 1), 1)


def reply(prompt: int) -> Reply:
    return Reply("x", "length", Usage(prompt, 1, prompt + 1), "m", 0.1)


SIZES = {"base": [(64, 64)] * 2, "wide": [(224, 112), (112, 112)]}


def test_pictures_between_texts_cost_what_they_cost_alone() -> None:
    assert tokens_of_parts(SIZES, {"base": reply(60), "wide": reply(92)}, RULE, "base") == []
    [found] = tokens_of_parts(SIZES, {"base": reply(60), "wide": reply(60)}, RULE, "base")
    assert (found.kind, found.where, found.observed) == (kinds.UPLOAD_PARTS, "wide", "0 more")
    assert found.expected.startswith("32 prompt tokens more")


def test_without_usage_nothing_is_accepted() -> None:
    found = tokens_of_parts(SIZES, {"base": reply(60), "wide": NoReply("HTTP 500")}, RULE, "base")
    assert [one.observed for one in found] == ["HTTP 500"]
