"""The bar of a question follows what was recorded, and never rises above what the profile demands."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.bars import MISSED, bar, bar_of_new, read_in_large_form, unlike
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.stats.binomial import at_most


def test_without_a_recording_the_profile_decides() -> None:
    assert [bar(least, None) for least in (8, 6, 1)] == [8, 6, 1]


@pytest.mark.parametrize(
    ("recorded", "least"), [(8, 6), (7, 5), (6, 4), (5, 3), (4, 2), (3, 1), (2, 1), (1, 0), (0, 0)]
)
def test_a_recorded_count_lowers_the_bar_by_what_chance_may_cost(recorded: int, least: int) -> None:
    assert bar(6, recorded) == least
    assert bar(2, recorded) == min(2, least)
    # a right deployment is seldom below, and one answer more would refuse it too often
    assert at_most(least - 1, recorded, 0.98) <= MISSED
    assert least == recorded or at_most(least, recorded, 0.98) > MISSED


@pytest.mark.parametrize(("recorded", "least"), [(None, 6), (8, 3), (7, 1), (6, 0), (0, 0)])
def test_other_questions_have_a_bar_that_chance_seldom_misses(recorded: int | None, least: int) -> None:
    assert bar_of_new(8, recorded) == least
    assert bar_of_new(2, recorded) == min(2, least)


@pytest.mark.parametrize(("recorded", "least"), [(None, 3), (4, 2), (3, 1), (2, 1), (1, 0), (0, 0)])
def test_the_bar_of_fewer_pictures_is_the_same_share(recorded: int | None, least: int) -> None:
    assert bar(6, recorded, 4) == least


@pytest.mark.parametrize(
    ("small", "large", "is_found"),
    [(8, 2, True), (8, 3, True), (8, 4, False), (5, 0, True), (4, 0, False), (2, 8, False), (None, 0, False)],
)
def test_the_same_pictures_must_not_be_read_much_worse_in_large_form(
    small: int | None, large: int, is_found: bool
) -> None:
    found = read_in_large_form("sign", small, large)
    assert [one.severity for one in found] == [Severity.FAILURE] * is_found
    assert not found or "the large form of the same pictures shows the same words" in found[0].expected


@pytest.mark.parametrize(
    ("counts", "pair"),
    [
        ({}, None),
        ({"png": 3}, None),
        ({"png": 8, "jpeg": 5}, None),
        ({"png": 8, "jpeg": 4}, ("png", "jpeg")),
        ({"jpeg": 3, "png": 7, "url": 8}, ("url", "jpeg")),
    ],
)
def test_two_routes_that_differ_more_than_by_chance_are_named(
    counts: dict[str, int], pair: tuple[str, str] | None
) -> None:
    assert unlike(counts) == pair
