"""The split of a total error, and the limits that it gives for MMMU and OCRBench."""

from __future__ import annotations

import math

import pytest

from vlm_acceptance.stats.binomial import at_most, lower_limit
from vlm_acceptance.stats.family import FAMILY_ALPHA, errors_of, parts


def test_equal_weights_get_equal_parts() -> None:
    assert parts({"a": 1, "b": 1}) == {"a": 0.025, "b": 0.025}
    assert parts({"a": 1}) == {"a": 0.05}


def test_parts_follow_the_weights_and_add_up() -> None:
    split = parts({"a": 3, "b": 1, "c": 0}, 0.04)
    assert split == {"a": pytest.approx(0.03), "b": pytest.approx(0.01)}  # no test has an error of 0


@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_all_tests_of_all_members_together_have_the_total_error(count: int) -> None:
    split = parts({str(number): 1 + number for number in range(count)})
    assert sum(errors_of(part).total for part in split.values()) == pytest.approx(FAMILY_ALPHA)


def test_a_part_of_two_members_is_split_into_round_numbers() -> None:
    errors = errors_of(0.025)
    assert (errors.lower, errors.early, errors.stuck, errors.upper) == pytest.approx((0.02, 0.003, 0.001, 0.001))


def test_a_member_alone_keeps_no_more_for_the_other_tests_than_one_of_two() -> None:
    assert errors_of(0.05).lower == pytest.approx(0.045)
    assert errors_of(0.05 / 6).lower == pytest.approx(0.05 / 7.5)


def test_the_limits_are_303_alone_and_298_and_757_in_a_nightly_of_two() -> None:
    assert lower_limit(327, 900, 900, errors_of(0.05).lower) == 303
    assert at_most(302, 900, 327 / 900) == pytest.approx(0.044, abs=5e-4)
    two = errors_of(parts({"mmmu": 1, "ocrbench": 1})["mmmu"])
    assert (lower_limit(327, 900, 900, two.lower), lower_limit(784, 1000, 1000, two.lower)) == (298, 757)
    assert at_most(297, 900, 327 / 900) == pytest.approx(0.0199, abs=5e-5)
    assert at_most(756, 1000, 0.784) == pytest.approx(0.0183, abs=5e-5)


@pytest.mark.parametrize(
    "weights", [{}, {"a": 0}, {"a": 2, "b": -1}, {"a": math.inf}, {"a": 1, "b": math.nan}, {"a": math.nan, "b": 1}]
)
def test_weights_without_a_split_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        parts(weights)


@pytest.mark.parametrize("total", [0, 1, -0.1])
def test_an_error_outside_0_to_1_is_refused(total: float) -> None:
    with pytest.raises(ValueError, match="error"):
        parts({"a": 1}, total)
    with pytest.raises(ValueError, match="error"):
        errors_of(total)
