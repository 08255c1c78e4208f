"""Quantiles of few values: what can be said about them for sure."""

from __future__ import annotations

import math
import random

import pytest

from vlm_acceptance.stats.quantiles import is_above, median_interval


@pytest.mark.parametrize(
    ("beyond", "total", "quantile", "is_so"),
    [(0, 50, 0.5, False), (25, 50, 0.5, False), (50, 50, 0.5, True), (4, 100, 0.99, False), (5, 100, 0.99, True)],
)
def test_a_quantile_is_above_a_limit_if_chance_does_not_explain_it(
    beyond: int, total: int, quantile: float, is_so: bool
) -> None:
    assert is_above(beyond, total, quantile, 0.01) is is_so


def test_nothing_is_said_about_no_values() -> None:
    assert not is_above(0, 0, 0.5, 0.01)
    assert median_interval([], 0.01) == (-math.inf, math.inf)


def test_too_few_values_have_no_limits() -> None:
    assert median_interval([1.0] * 10, 0.0005) == (-math.inf, math.inf)
    assert median_interval([1.0] * 11, 0.0005) == (1.0, 1.0)


def test_the_limits_are_values_at_equal_distance_from_both_ends() -> None:
    low, high = median_interval([float(n) for n in range(100)], 0.01)
    # P(X <= 37) of 100 fair coins is 0.6 %, P(X <= 38) is 1.05 %
    assert (low, high) == (37.0, 62.0)


def test_the_median_is_outside_as_seldom_as_promised() -> None:
    drawn = random.Random(1)
    outside = 0
    for _ in range(2000):
        low, high = median_interval([drawn.random() for _ in range(40)], 0.01)
        outside += not low <= 0.5 <= high
    assert outside <= 60  # 2 % of 2,000 is 40
