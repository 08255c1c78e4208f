"""Limits of means: against exact computation, against scipy, and by simulation on scores that share groups."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy import stats

from vlm_acceptance.stats.binomial import at_most, lower_limit
from vlm_acceptance.stats.means import (
    Sample,
    Stratum,
    detectable_mean_drop,
    detectable_strata_drop,
    is_reached,
    lower_mean,
    sample_of,
    sample_of_sums,
    strata_at_most,
    strata_limit,
    t_limit,
)

HALVES = [Stratum(744, 1250, 1250), Stratum(1162, 1250, 1250)]


def alone(scores: list[float]) -> Sample:
    return sample_of_sums(scores, [1] * len(scores))


def test_the_error_of_independent_scores_is_the_usual_standard_error() -> None:
    scores = [0, 0.3, 0.6, 0.9, 1, 1, 1]
    sample = sample_of((place, score) for place, score in enumerate(scores))
    assert (sample.n, sample.groups) == (7, 7)
    assert sample.mean == pytest.approx(4.8 / 7)
    assert sample.error == pytest.approx(stats.sem(scores))
    assert sample.skewness == pytest.approx(stats.skew(scores))


def test_scores_that_repeat_within_groups_count_once() -> None:
    once = sample_of([("a", 0), ("b", 0.5), ("c", 1), ("d", 1)])
    thrice = sample_of([(name, score) for name, score in zip("abcd", (0, 0.5, 1, 1), strict=True)] * 3)
    assert (thrice.mean, thrice.error) == (pytest.approx(once.mean), pytest.approx(once.error))


@pytest.mark.parametrize("score", [0, 1, 0.3, 0.1 + 0.2])
def test_equal_scores_have_no_error(score: float) -> None:
    sample = sample_of([("a", score), ("a", score), ("b", score), ("c", score)])
    assert (sample.error, sample.skewness) == (0, 0)


def test_a_run_without_hits_is_judged_by_the_error_at_the_true_mean() -> None:
    few, many = alone([0.0] * 50), alone([0.0] * 500)
    assert is_reached(0, lower_mean(0.02, few, 0.05))
    assert not is_reached(0, lower_mean(0.02, many, 0.05))


def test_pictures_without_hits_count_once_each() -> None:
    pictures = sample_of_sums([0.0] * 50, [10] * 50)
    assert lower_mean(0.02, pictures, 0.05) == lower_mean(0.02, alone([0.0] * 50), 0.05)


def test_equal_scores_between_0_and_1_do_not_have_an_error_of_0() -> None:
    half = alone([0.5] * 100)
    assert lower_mean(0.5, half, 0.05) == pytest.approx(0.5 - 0.05 * stats.t.ppf(0.95, 99), abs=1e-6)
    assert is_reached(0.499, lower_mean(0.5, half, 0.05))


def test_no_drop_is_detectable_where_nothing_differs_or_it_would_be_above_1() -> None:
    for sample in (alone([1.0] * 9), alone([0.3] * 9), alone([0.0, 1.0]), alone([1.0])):
        assert detectable_mean_drop(sample, 0.001) == math.inf


def test_strata_that_refuse_nothing_find_no_drop() -> None:
    assert detectable_strata_drop([], 0) == math.inf
    assert detectable_strata_drop(HALVES, 0) == math.inf
    assert detectable_strata_drop([Stratum(1, 2, 0)], 0) == math.inf
    assert detectable_strata_drop([Stratum(1, 1, 1), Stratum(1, 2, 1)], 1) == pytest.approx(
        (1 + 0.8416 * 0.5) / 2, abs=1e-4
    )
    assert detectable_strata_drop([Stratum(1, 2, 1)], 1) < math.inf


def test_the_error_is_never_less_than_that_of_the_sample() -> None:
    for mean, true in ((0.02, 0.03), (0.7, 0.73)):
        plain, limit = Sample(1000, 1000, mean, 0.01, 0.0), lower_mean(true, Sample(1000, 1000, mean, 0.01, 0.0), 0.05)
        assert (true - limit) / (plain.mean - t_limit(plain, 0.05)) == pytest.approx(
            max(1, math.sqrt(true * (1 - true) / mean / (1 - mean)))
        )


def test_what_has_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one score"):
        sample_of([])
    with pytest.raises(ValueError, match="two groups"):
        lower_mean(0.5, sample_of([("a", 1), ("a", 0)]), 0.05)
    for score in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"not in 0\.\.1"):
            sample_of([("a", score)])


@pytest.mark.parametrize("groups", [3, 40, 201, 202, 5000])
def test_the_limit_without_skewness_is_that_of_student(groups: int) -> None:
    sample = Sample(groups, groups, 0.7, 0.01, 0.0)
    for alpha in (0.05, 0.0067, 0.001):
        expected = 0.7 + 0.01 * stats.t.ppf(alpha, groups - 1)
        assert lower_mean(0.7, sample, alpha) == pytest.approx(expected, abs=1e-6)


def test_only_the_skewness_that_would_raise_the_error_moves_a_limit() -> None:
    left, even, right = (Sample(100, 100, 0.5, 0.05, skew) for skew in (-1.0, 0.0, 1.0))
    assert lower_mean(0.5, left, 0.05) == lower_mean(0.5, even, 0.05) > lower_mean(0.5, right, 0.05)
    assert t_limit(right, 0.05) == t_limit(even, 0.05) > t_limit(left, 0.05)


def test_rounding_of_a_sum_does_not_miss_a_limit() -> None:
    assert is_reached(sum([0.1] * 10) / 10, 0.1)
    assert not is_reached(0.0999, 0.1)


def vqa(rng: random.Random) -> float:
    return rng.choice((0, 0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1))


def rare(rng: random.Random) -> float:
    return float(rng.random() < 0.05)


@pytest.mark.parametrize(("draw", "mean"), [(vqa, 0.68), (rare, 0.05)])
def test_sound_runs_with_shared_pictures_are_refused_by_groups_as_allowed_and_alone_too_often(
    draw: Callable[[random.Random], float], mean: float
) -> None:
    rng, runs, refused = random.Random(1), 1000, {"groups": 0, "alone": 0}
    for _ in range(runs):
        groups = []
        for _ in range(100):
            common = draw(rng)
            groups.append([common if rng.random() < 0.6 else draw(rng) for _ in range(5)])
        samples = {
            "groups": sample_of_sums([sum(scores) for scores in groups], [5] * 100),
            "alone": alone([score for scores in groups for score in scores]),
        }
        for name, sample in samples.items():
            refused[name] += not is_reached(sample.mean, lower_mean(mean, sample, 0.05))
    # 1 in 1,000 above the allowed error
    assert refused["groups"] <= stats.binom.isf(0.001, runs, 0.05)
    assert refused["alone"] > stats.binom.isf(0.001, runs, 0.05)


def test_the_computed_drop_is_found_with_the_computed_power() -> None:
    rng, runs, found = random.Random(2), 1000, 0
    drop = detectable_mean_drop(alone([vqa(rng) for _ in range(400)]), 0.05)
    for _ in range(runs):
        sample = alone([vqa(rng) * (rng.random() >= drop / 0.68) for _ in range(400)])
        found += not is_reached(sample.mean, lower_mean(0.68, sample, 0.05))
    assert 0.74 <= found / runs <= 0.87


def test_one_stratum_is_a_binomial() -> None:
    part = [Stratum(784, 1000, 1000)]
    for alpha in (0.05, 0.02, 0.001):
        assert strata_limit(part, alpha) == lower_limit(784, 1000, 1000, alpha)
    assert strata_at_most(750, part) == pytest.approx(at_most(750, 1000, 0.784), abs=1e-12)
    assert (strata_at_most(-1, part), strata_at_most(1000, part)) == (0, 1)


def test_two_strata_are_the_sum_of_two_binomials() -> None:
    strata = [Stratum(3, 10, 4), Stratum(9, 10, 3)]
    for count in range(8):
        expected = sum(stats.binom.pmf(one, 4, 0.3) * stats.binom.cdf(count - one, 3, 0.9) for one in range(5))
        assert strata_at_most(count, strata) == pytest.approx(expected)


def test_known_halves_give_a_sharper_limit_than_their_mean() -> None:
    limit = strata_limit(HALVES, 0.05)
    assert (limit, lower_limit(1906, 2500, 2500, 0.05)) == (1874, 1871)
    assert strata_at_most(limit - 1, HALVES) <= 0.05 < strata_at_most(limit, HALVES)
    assert strata_limit(HALVES, 1e-9) < limit


def test_the_drop_of_strata_is_found_with_its_power() -> None:
    limit = strata_limit(HALVES, 0.05)
    drop = detectable_strata_drop(HALVES, limit)
    fallen = [
        Stratum(round((744 / 1250 - drop) * 1e6), 10**6, 1250),
        Stratum(round((1162 / 1250 - drop) * 1e6), 10**6, 1250),
    ]
    assert strata_at_most(limit - 1, fallen) == pytest.approx(0.8, abs=0.03)


def test_a_stratum_needs_a_share() -> None:
    for part in (Stratum(1, 0, 3), Stratum(4, 3, 3)):
        with pytest.raises(ValueError, match="not a share"):
            strata_limit([part], 0.05)
        with pytest.raises(ValueError, match="not a share"):
            detectable_strata_drop([part], 2)
