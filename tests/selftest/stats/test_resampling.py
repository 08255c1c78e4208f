"""Samples drawn with replacement, against what is known of them."""

import math

import pytest

from vlm_acceptance.stats.resampling import draws, lower, maxima, ratios, spread_draws, upper


def test_draws_are_the_same_each_time_and_in_range():
    first, again = draws(7, 3, 50), draws(7, 3, 50)
    assert first == again
    assert len(first) == 50
    assert {len(places) for places in first} == {3}
    assert {place for places in first for place in places} == set(range(7))


def test_another_size_draws_other_samples():
    assert [places[:3] for places in draws(100, 4, 20)] != list(draws(100, 3, 20))


def test_a_sample_may_hold_one_place_twice():
    assert any(len(set(places)) < 3 for places in draws(3, 3, 50))


def test_spread_draws_take_one_place_of_each_part():
    drawn = spread_draws(129, 12, 500)
    assert drawn == spread_draws(129, 12, 500)
    for place in range(12):
        seen = {places[place] for places in drawn}
        assert seen == set(range(place * 129 // 12, (place + 1) * 129 // 12))


def test_a_spread_sample_of_all_is_all():
    assert set(spread_draws(9, 9, 20)) == {tuple(range(9))}


def test_ratios_are_those_of_sums():
    assert ratios([1.0, 4.0], [1, 2], ((0, 1), (1, 1), (0, 0))) == [5 / 3, 2.0, 1.0]


def test_a_ratio_to_nothing_is_infinite():
    assert ratios([1.0], [0], ((0,),)) == [math.inf]


def test_maxima_are_those_of_each_sample():
    assert maxima([1.0, 5.0, 3.0], ((0, 2), (1, 2), (0, 0))) == [3.0, 5.0, 1.0]


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.1])
def test_no_more_than_the_share_lies_beyond_a_quantile(alpha):
    values = [float(number) for number in range(2000)]
    assert sum(value > upper(values, alpha) for value in values) == alpha * 2000
    assert sum(value < lower(values, alpha) for value in values) == alpha * 2000


def test_quantiles_of_few_values_are_their_ends():
    assert (lower([3.0, 1.0, 2.0], 0.001), upper([3.0, 1.0, 2.0], 0.001)) == (1.0, 3.0)


def test_the_mean_of_drawn_means_is_the_mean():
    values = [float(number % 10) for number in range(50)]
    drawn = ratios(values, [1] * 50, draws(50, 10, 2000))
    # the standard error of this mean is 2.87 / sqrt(10 * 2000)
    assert sum(drawn) / 2000 == pytest.approx(4.5, abs=0.1)
