"""The order of the questions of an accuracy run: rounds over all groups, fixed by the seed."""

from __future__ import annotations

from collections import Counter

import pytest

from vlm_acceptance.accuracy.plan import stratified_order

PAIRS = [(f"{group}-{number}", f"group {group}") for group in range(30) for number in range(30)]


def test_equal_groups_give_rounds_with_one_question_of_each() -> None:
    order = stratified_order(PAIRS, 7)
    assert sorted(order) == sorted(one for one, _ in PAIRS)
    for begin in range(0, 900, 30):
        assert len({one.split("-")[0] for one in order[begin : begin + 30]}) == 30


def test_groups_of_unequal_size_are_spread_evenly() -> None:
    pairs = [
        (f"{group}{number}", group) for group, size in (("a", 400), ("b", 100), ("c", 7)) for number in range(size)
    ]
    half = Counter(one[0] for one in stratified_order(pairs, 3)[:253])
    assert half["a"] == pytest.approx(200, abs=3)
    assert half["b"] == pytest.approx(50, abs=3)
    assert half["c"] == pytest.approx(3.5, abs=1)


def test_the_order_depends_only_on_the_seed() -> None:
    order = stratified_order(PAIRS, 7)
    assert stratified_order(PAIRS[::-1], 7) == order
    assert stratified_order(PAIRS, 8) != order
    # fixed for every version of Python and every platform
    assert stratified_order([(one, one[0]) for one in ("a1", "a2", "a3", "b1", "b2", "b3")], 0) == [
        "b1",
        "a2",
        "a1",
        "b2",
        "a3",
        "b3",
    ]
    assert stratified_order([], 0) == []


def test_every_question_may_be_the_first() -> None:
    pairs = [(f"{group}{number}", group) for group in "abc" for number in range(4)]
    firsts = Counter(stratified_order(pairs, seed)[0] for seed in range(1200))
    assert len(firsts) == 12
    assert all(60 <= count <= 140 for count in firsts.values())
