"""Picture tokens against the tile formula and the server's own tokenizer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.prompt_tokens import size_name, steps_match, tokenize_agrees
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.tiles import TileRule, picture_tokens

RULE = TileRule(448, 256, 1, 12, True)
SIZES = ((64, 64), (896, 448), (448, 1344))


def reply(tokens: int | None) -> Reply:
    return Reply("x", "length", None if tokens is None else Usage(tokens, 1, tokens + 1), "m", 0.1)


def replies(*extra: int, text: int = 11) -> list[Reply | NoReply]:
    return [reply(text + picture_tokens(*size, RULE) + more) for size, more in zip(SIZES, extra, strict=True)]


def counted(body: Any, status: int = 200) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, status, body=raw)


def test_the_text_may_cost_what_it_likes_but_pictures_cost_their_tiles() -> None:
    assert steps_match(SIZES, replies(0, 0, 0), RULE) == []
    assert steps_match(SIZES, replies(0, 0, 0, text=500), RULE) == []


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [((0, 1, 0), ["896x448"]), ((0, 0, -256), ["448x1344"]), ((1, 0, 0), ["896x448", "448x1344"])],
)
def test_one_token_too_many_or_a_tile_too_few_is_found(extra: tuple[int, int, int], wrong: list[str]) -> None:
    found = steps_match(SIZES, replies(*extra), RULE)
    assert [finding.where for finding in found] == wrong
    assert all(finding.fatal for finding in found)


def test_a_server_that_ignores_the_picture_is_found() -> None:
    assert len(steps_match(SIZES, [reply(11)] * 3, RULE)) == 2


def test_what_was_not_counted_is_found_and_the_rest_still_judged() -> None:
    seen = replies(0, 0, 5)
    seen[1] = NoReply("HTTP 500: x")
    assert [finding.where for finding in steps_match(SIZES, seen, RULE)] == ["896x448", "448x1344"]
    seen[0] = reply(None)
    assert [finding.observed for finding in steps_match(SIZES, seen, RULE)] == ["no usage", "HTTP 500: x"]


def test_the_tokenizer_must_count_as_usage_does() -> None:
    assert tokenize_agrees(counted({"count": 267}), reply(267)) == []
    assert [f.observed for f in tokenize_agrees(counted({"count": 266}), reply(267))] == ["266"]


@pytest.mark.parametrize("seen", [counted({}), counted(b"<html>", 404), counted([])])
def test_a_tokenizer_that_does_not_count_is_found(seen: Exchange) -> None:
    assert [finding.expected for finding in tokenize_agrees(seen, reply(267))] == ["a count from /tokenize"]


def test_a_tokenizer_that_is_not_reached_is_found() -> None:
    gone = Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, error=ErrorDetail("reset", "by peer"))
    assert "by peer" in tokenize_agrees(gone, reply(267))[0].observed
    assert tokenize_agrees(gone, NoReply("said elsewhere")) == []


def test_a_size_is_named_width_first() -> None:
    assert size_name((896, 448)) == "896x448"
