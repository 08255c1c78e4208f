"""Several pictures: named in the order sent, and each paid for."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.pictures import count_in_order, in_order, names_in_order, tokens_grow_evenly
from vlm_acceptance.core.exchange import NoReply, Reply, Usage

ORDERS = (("red", "green"), ("green", "red"))


def reply(text: str = "x", prompt: int = 1) -> Reply:
    return Reply(text, "stop", Usage(prompt, 1, prompt + 1), "m", 0.1)


@pytest.mark.parametrize("text", ["Red, green.", "The first is RED and the second is green.", "red green red"])
def test_the_order_sent_is_right(text: str) -> None:
    assert names_in_order(("red", "green"), text)


@pytest.mark.parametrize("text", ["Green, red.", "Red.", "", "hundred green", "Red, blue."])
def test_another_order_or_a_lost_picture_is_wrong(text: str) -> None:
    assert not names_in_order(("red", "green"), text)


def test_as_many_wrong_ones_as_the_bar_allows_are_no_finding() -> None:
    wrong = [reply("Red, green."), reply("Red, green.")]
    assert in_order(ORDERS, wrong, 1) == []
    (found,) = in_order(ORDERS, wrong, 2)
    assert (found.where, found.fatal) == ("green-red", False)
    assert found.observed.startswith("another order")
    assert in_order(ORDERS, [reply("Red, green."), reply("Green")], 2)[0].observed.startswith("not said: red")


def test_a_request_without_an_answer_is_found_whatever_the_bar() -> None:
    (found,) = in_order(ORDERS, [reply("Red, green."), NoReply("HTTP 500: x")], 1)
    assert (found.check, found.fatal) == ("multi_picture.missing", True)


def test_answers_in_order_are_counted() -> None:
    assert count_in_order(ORDERS, [reply("Red, green."), reply("Red, green.")]) == 1
    assert count_in_order(ORDERS, [reply("Red, green."), NoReply("HTTP 500: x")]) == 1


def test_every_picture_costs_the_same() -> None:
    assert tokens_grow_evenly({1: reply(prompt=30), 2: reply(prompt=48), 10: reply(prompt=192)}, 18) == []
    assert tokens_grow_evenly({1: reply(prompt=30), 2: reply(prompt=48)}, 18) == []
    assert tokens_grow_evenly({1: reply(prompt=30)}, 18) == []


@pytest.mark.parametrize("counts", [(30, 30, 30), (30, 48, 48), (30, 40, 120), (30, 48, 174)])
def test_pictures_that_are_left_out_are_missed(counts: tuple[int, int, int]) -> None:
    seen = {number: reply(prompt=count) for number, count in zip((1, 2, 10), counts, strict=True)}
    (found,) = tokens_grow_evenly(seen, 18)
    assert found.fatal and found.where in ("2 pictures", "10 pictures")


def test_an_answer_that_did_not_come_or_counts_nothing_is_found() -> None:
    refused = tokens_grow_evenly({1: reply(), 2: NoReply("HTTP 400: at most 1")}, 1)
    assert [found.where for found in refused] == ["2 pictures"]
    silent = tokens_grow_evenly({1: Reply("x", "stop", None, "m", 0.1), 2: reply()}, 1)
    assert [found.observed for found in silent] == ["no usage"]
