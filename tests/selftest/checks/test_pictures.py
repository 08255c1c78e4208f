"""Several pictures are named in the order sent; picture tokens follow the tile formula and the tokenizer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks import pictures
from vlm_acceptance.checks.pictures import (
    count_in_order,
    in_order,
    names_in_order,
    size_name,
    tokenize_agrees,
    tokens_grow_evenly,
    tokens_match_tiles,
)
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.tiles import TileRule, picture_tokens

RULE = TileRule(448, 256, 1, 12, True)
SIZES = ((64, 64), (896, 448), (448, 1344))
UNCOUNTED = Reply("x", "stop", None, "m", 0.1)
ORDERS = (("red", "green"), ("green", "red"))
FOUR = pictures.ORDERS


def reply(text: str = "x", prompt: int = 1) -> Reply:
    return Reply(text, "stop", Usage(prompt, 1, prompt + 1), "m", 0.1)


@pytest.mark.parametrize("text", ["Red, green.", "The first is RED and the second is green.", "red green red"])
def test_the_order_sent_is_right(text: str) -> None:
    assert names_in_order(("red", "green"), text)


@pytest.mark.parametrize("text", ["Green, red.", "Red.", "", "hundred green", "Red, blue."])
def test_another_order_or_a_lost_picture_is_wrong(text: str) -> None:
    assert not names_in_order(("red", "green"), text)


def test_as_many_wrong_answers_as_the_bar_allows_are_no_finding() -> None:
    wrong = [reply("Red, green."), reply("Red, green.")]
    assert in_order(ORDERS, wrong, 1) == []
    (found,) = in_order(ORDERS, wrong, 2)
    assert (found.where, found.fatal) == ("green-red", False)
    assert found.observed.startswith("another order")
    assert in_order(ORDERS, [reply("Red, green."), reply("Green")], 2)[0].observed.startswith("not named: red")


def test_a_request_without_an_answer_is_found_at_any_bar() -> None:
    (found,) = in_order(ORDERS, [reply("Red, green."), NoReply("HTTP 500: x")], 1)
    assert (found.check, found.fatal) == ("multi_picture.missing", True)


def test_answers_in_order_are_counted() -> None:
    assert count_in_order(ORDERS, [reply("Red, green."), reply("Red, green.")]) == 1
    assert count_in_order(ORDERS, [reply("Red, green."), NoReply("HTTP 500: x")]) == 1


@pytest.mark.parametrize(("reversed_ones", "is_found"), [(4, True), (3, False), (2, False), (0, False)])
def test_the_exact_reverse_order_is_a_failure_and_not_a_matter_of_ability(reversed_ones: int, is_found: bool) -> None:
    answers = [words[::-1] if n < reversed_ones else words for n, words in enumerate(FOUR)]
    found = pictures.reversed_order(FOUR, [reply(f"{one}, then {two}.") for one, two in answers])
    assert [one.severity for one in found] == [kinds.FAILURE] * is_found
    assert not found or found[0].observed == f"{reversed_ones} of 4 answers name the pictures in reverse order"


def test_a_model_that_always_names_one_colour_first_or_none_is_not_in_reverse() -> None:
    assert pictures.reversed_order(FOUR, [reply("Red, green."), reply("Red, green."), reply("Blue"), reply("")]) == []
    assert pictures.reversed_order(FOUR, [reply("Blue, yellow.")] * 4) == []
    assert pictures.reversed_order(FOUR, [NoReply("HTTP 500: x")] * 4) == []


def test_every_picture_costs_the_same() -> None:
    assert tokens_grow_evenly({1: reply(prompt=30), 2: reply(prompt=48), 10: reply(prompt=192)}, 18) == []
    assert tokens_grow_evenly({1: reply(prompt=30), 2: reply(prompt=48)}, 18) == []
    assert tokens_grow_evenly({1: reply(prompt=30)}, 18) == []


@pytest.mark.parametrize("counts", [(30, 30, 30), (30, 48, 48), (30, 40, 120), (30, 48, 174)])
def test_pictures_that_are_left_out_are_found(counts: tuple[int, int, int]) -> None:
    seen = {number: reply(prompt=count) for number, count in zip((1, 2, 10), counts, strict=True)}
    (found,) = tokens_grow_evenly(seen, 18)
    assert found.fatal and found.where in ("2 pictures", "10 pictures")


def test_a_missing_answer_or_usage_is_found() -> None:
    refused = tokens_grow_evenly({1: reply(), 2: NoReply("HTTP 400: at most 1")}, 1)
    assert [found.where for found in refused] == ["2 pictures"]
    silent = tokens_grow_evenly({1: UNCOUNTED, 2: reply()}, 1)
    assert [found.observed for found in silent] == ["no usage"]


def replies(*extra: int, text: int = 11) -> list[Reply | NoReply]:
    return [reply(prompt=text + picture_tokens(*size, RULE) + more) for size, more in zip(SIZES, extra, strict=True)]


def counted(body: Any, status: int = 200) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, status, body=raw)


def test_a_picture_costs_its_tiles_with_any_text() -> None:
    assert tokens_match_tiles(SIZES, replies(0, 0, 0), RULE) == []
    assert tokens_match_tiles(SIZES, replies(0, 0, 0, text=500), RULE) == []


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [((0, 1, 0), ["896x448"]), ((0, 0, -256), ["448x1344"]), ((1, 0, 0), ["896x448", "448x1344"])],
)
def test_one_token_too_many_or_a_tile_too_few_is_found(extra: tuple[int, int, int], wrong: list[str]) -> None:
    found = tokens_match_tiles(SIZES, replies(*extra), RULE)
    assert [finding.where for finding in found] == wrong
    assert all(finding.fatal for finding in found)


@pytest.mark.parametrize("count", [300.0, None])
def test_a_count_that_is_not_an_integer_is_judged_all_the_same(count: Any) -> None:
    answer = Reply("x", "stop", Usage(count, 1, 1), "m", 0.1)
    assert len(tokens_match_tiles(SIZES, [answer] * 3, RULE)) >= 2


def test_a_server_that_ignores_the_picture_is_found() -> None:
    assert len(tokens_match_tiles(SIZES, [reply(prompt=11)] * 3, RULE)) == 2


def test_a_picture_without_a_count_is_found_and_the_others_are_still_judged() -> None:
    seen = replies(0, 0, 5)
    seen[1] = NoReply("HTTP 500: x")
    assert [finding.where for finding in tokens_match_tiles(SIZES, seen, RULE)] == ["896x448", "448x1344"]
    seen[0] = UNCOUNTED
    assert [finding.observed for finding in tokens_match_tiles(SIZES, seen, RULE)] == ["no usage", "HTTP 500: x"]


def test_the_tokenizer_must_count_as_usage_does() -> None:
    assert tokenize_agrees(counted({"count": 267}), reply(prompt=267)) == []
    assert [f.observed for f in tokenize_agrees(counted({"count": 266}), reply(prompt=267))] == ["266"]


@pytest.mark.parametrize("seen", [counted({}), counted(b"<html>", 404), counted([])])
def test_a_tokenizer_that_does_not_count_is_found(seen: Exchange) -> None:
    assert [finding.expected for finding in tokenize_agrees(seen, reply(prompt=267))] == ["a count from /tokenize"]


def test_a_tokenizer_that_is_not_reached_is_found() -> None:
    gone = Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, error=ErrorDetail("reset", "by peer"))
    assert "by peer" in tokenize_agrees(gone, reply(prompt=267))[0].observed
    assert tokenize_agrees(gone, NoReply("said elsewhere")) == []


def test_a_size_is_named_width_first() -> None:
    assert size_name((896, 448)) == "896x448"
