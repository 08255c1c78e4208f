"""Limits and tests on counts, compared with published figures, brute force and scipy."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from vlm_acceptance.stats.binomial import (
    at_least,
    at_most,
    detectable_drop,
    lower_limit,
    mcnemar,
    non_inferior,
    paired_detectable_drop,
    paired_difference,
    predicted_limit,
    probability,
    standard_error,
    upper_limit,
    wilson,
)

SIZES = (1, 2, 5, 30, 147, 900, 11_000, 100_000)
SHARES = (0.0, 1e-6, 0.01, 0.05, 0.1, 0.247, 327 / 900, 0.5, 0.7, 0.9, 0.99, 1.0)


def counts_of(n: int, share: float) -> list[int]:
    """Counts from 0 to n, dense where the probability is."""
    spread = math.sqrt(n * share * (1 - share))
    near = {int(n * share + step * spread / 2) for step in range(-16, 17)}
    return sorted(count for count in near | {n * part // 20 for part in range(21)} if 0 <= count <= n)


def exact_at_most(count: int, n: int, share: Fraction) -> Fraction:
    terms = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count + 1))
    return sum(terms, Fraction(0))


@pytest.mark.parametrize("n", SIZES)
def test_binomial_probabilities_agree_with_scipy(n: int) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    for share in SHARES:
        for count in counts_of(n, share):
            assert probability(count, n, share) == pytest.approx(binom.pmf(count, n, share), rel=1e-8, abs=1e-9)
            assert abs(at_most(count, n, share) - binom.cdf(count, n, share)) < 1e-9
            assert abs(at_least(count, n, share) - binom.sf(count - 1, n, share)) < 1e-9


@pytest.mark.parametrize("share", [Fraction(1, 20), Fraction(327, 900), Fraction(1, 2), Fraction(19, 20)])
def test_binomial_probabilities_agree_with_exact_fractions(share: Fraction) -> None:
    for n in (1, 7, 60):
        for count in range(n + 1):
            assert at_most(count, n, float(share)) == pytest.approx(float(exact_at_most(count, n, share)), rel=1e-9)
            below = exact_at_most(count - 1, n, share)
            assert at_least(count, n, float(share)) == pytest.approx(float(1 - below), rel=1e-9)


def test_a_small_tail_keeps_its_relative_precision() -> None:
    assert at_most(0, 1000, 0.5) == pytest.approx(0.5**1000, rel=1e-9)
    assert at_least(1000, 1000, 0.5) == pytest.approx(0.5**1000, rel=1e-9)


def test_impossible_and_certain_counts_have_probability_0_and_1() -> None:
    assert (at_most(-1, 5, 0.3), at_most(5, 5, 0.3), at_least(0, 5, 0.3), at_least(6, 5, 0.3)) == (0, 1, 1, 0)
    assert (at_most(0, 5, 0.0), at_most(4, 5, 1.0), at_least(1, 5, 0.0), at_least(5, 5, 1.0)) == (1, 0, 0, 1)
    assert (probability(6, 5, 0.3), probability(0, 5, 0.0), probability(4, 5, 1.0)) == (0, 1, 0)


@pytest.mark.parametrize(("alpha", "refused"), [(0.05, 302), (0.01, 293), (0.001, 282)])
def test_the_lower_limit_is_the_first_count_that_is_not_refused(alpha: float, refused: int) -> None:
    limit = lower_limit(327, 900, 900, alpha)
    assert limit == refused + 1
    assert at_most(limit - 1, 900, 327 / 900) <= alpha < at_most(limit, 900, 327 / 900)


@pytest.mark.parametrize(("alpha", "limit"), [(0.05, 351), (0.01, 361), (0.001, 372)])
def test_the_upper_limit_is_the_last_count_that_is_rarely_exceeded(alpha: float, limit: int) -> None:
    assert upper_limit(327, 900, 900, alpha) == limit
    assert at_least(limit + 1, 900, 327 / 900) <= alpha < at_least(limit, 900, 327 / 900)


@pytest.mark.parametrize(("n", "refused", "caught"), [(300, 83, 0.90), (150, 36, 0.47)])
def test_limits_hold_for_a_part_of_the_questions(n: int, refused: int, caught: float) -> None:
    assert lower_limit(327, 900, n, 0.001) == refused + 1
    assert at_most(refused, n, 0.247) == pytest.approx(caught, abs=0.006)


def test_limits_without_a_possible_refusal_refuse_nothing() -> None:
    assert lower_limit(0, 900, 900, 0.05) == 0
    assert lower_limit(327, 900, 5, 0.05) == 0
    assert upper_limit(327, 900, 2, 0.05) == 2
    assert (lower_limit(900, 900, 900, 0.05), upper_limit(0, 900, 900, 0.05)) == (900, 0)


@pytest.mark.parametrize("n", [1, 30, 900, 11_000])
def test_limits_agree_with_scipy_quantiles(n: int) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    for share, alpha in itertools.product((1, 90, 327, 500, 899), (0.05, 0.01, 0.001)):
        # scipy's quantile is the first count whose cumulated probability reaches alpha
        assert lower_limit(share, 900, n, alpha) == int(binom.ppf(alpha, n, share / 900))
        assert upper_limit(share, 900, n, alpha) == int(binom.isf(alpha, n, share / 900))


def test_wilson_reproduces_published_intervals() -> None:
    assert [round(100 * end, 1) for end in wilson(327, 900)] == [33.3, 39.5]
    assert [round(100 * end, 1) for end in wilson(329, 900)] == [33.5, 39.8]


def test_wilson_stays_inside_0_and_1_and_is_that_range_for_no_questions() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 30)[0] == 0.0
    assert wilson(30, 30)[1] == 1.0
    assert 0 < wilson(30, 30)[0] < 1
    assert wilson(5, 30, 0.99)[0] < wilson(5, 30, 0.95)[0] < 5 / 30


@pytest.mark.parametrize("right", range(9))
def test_a_predicted_limit_agrees_with_scipy(right: int) -> None:
    predicted = pytest.importorskip("scipy.stats").betabinom(8, right + 0.5, 8.5 - right)
    limit = predicted_limit(right, 8, 8, 0.001)
    assert predicted.cdf(limit - 1) <= 0.001 < predicted.cdf(limit)


def test_wilson_agrees_with_scipy() -> None:
    binomtest = pytest.importorskip("scipy.stats").binomtest
    for total, confidence in itertools.product((1, 30, 900, 11_000), (0.9, 0.95, 0.99)):
        for right in counts_of(total, 0.36):
            expected = binomtest(right, total).proportion_ci(confidence, "wilson")
            assert wilson(right, total, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_standard_error_of_the_reference_is_1_6_points_and_two_such_runs_differ_by_chance() -> None:
    assert round(100 * standard_error(327, 900), 2) == 1.60
    both = math.hypot(standard_error(327, 900), standard_error(329, 900))
    assert (round(100 * both, 2), round(2 / 900 / both, 2)) == (2.27, 0.10)
    assert math.isnan(standard_error(0, 0))


def test_a_band_of_5_percent_refuses_a_quarter_of_sound_runs() -> None:
    outside = at_most(310, 900, 327 / 900) + at_least(344, 900, 327 / 900)
    assert outside == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize(
    ("lost", "gained", "two_sided"), [(22, 20, 0.88), (32, 30, 0.90), (25, 10, 0.017), (15, 5, 0.041), (30, 15, 0.036)]
)
def test_mcnemar_is_half_of_the_published_two_sided_value(lost: int, gained: int, two_sided: float) -> None:
    assert 2 * mcnemar(lost, gained) == pytest.approx(two_sided, abs=0.005 if two_sided > 0.5 else 0.0005)


def test_mcnemar_is_one_sided() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 25) == 1.0
    assert mcnemar(3, 0) == pytest.approx(1 / 8)
    assert mcnemar(25, 10) < 0.01 < mcnemar(24, 11)


def test_mcnemar_agrees_with_scipy() -> None:
    binomtest = pytest.importorskip("scipy.stats").binomtest
    for lost, gained in itertools.product((0, 1, 2, 9, 40, 700), repeat=2):
        if lost + gained:
            expected = binomtest(lost, lost + gained, 0.5, "greater").pvalue
            assert mcnemar(lost, gained) == pytest.approx(expected, abs=1e-9)


def test_tangos_interval_reproduces_published_examples() -> None:
    # 21 children, 7 and 1 discordant (Fagerland, Lydersen and Laake 2014); 44 pairs with one discordant (Tango 1998)
    assert [round(end, 3) for end in paired_difference(21, 7, 1)] == [-0.517, -0.026]
    assert [round(end, 3) for end in paired_difference(44, 1, 0)] == [-0.118, 0.059]


def score_statistic(total: int, lost: int, gained: int, difference: float) -> float:
    """Tango's statistic with the most likely share of losses found by search."""
    rest = total - lost - gained

    def log_likelihood(share: float) -> float:
        shares = (share, share + difference, 1 - 2 * share - difference)
        return sum(n * math.log(p) for n, p in zip((lost, gained, rest), shares, strict=True) if n)

    low, high = max(0.0, -difference) + 1e-15, (1 - difference) / 2 - 1e-15
    for _ in range(200):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (first, high) if log_likelihood(first) < log_likelihood(second) else (low, second)
    variance = total * (2 * low + difference - difference**2)
    return (gained - lost - total * difference) / math.sqrt(variance)


@pytest.mark.parametrize(("lost", "gained"), [(20, 22), (0, 5), (7, 1), (45, 45), (60, 12)])
def test_the_ends_of_tangos_interval_have_the_statistic_of_their_confidence(lost: int, gained: int) -> None:
    low, high = paired_difference(900, lost, gained, 0.95)
    assert score_statistic(900, lost, gained, low) == pytest.approx(1.959964, abs=1e-5)
    assert score_statistic(900, lost, gained, high) == pytest.approx(-1.959964, abs=1e-5)


def test_tangos_interval_mirrors_and_has_sound_ends() -> None:
    assert paired_difference(900, 20, 22) == pytest.approx([-end for end in paired_difference(900, 22, 20)[::-1]])
    assert paired_difference(0, 0, 0) == (-1.0, 1.0)
    z = 1.959964
    assert paired_difference(900, 0, 0)[1] == pytest.approx(z * z / (900 + z * z), abs=1e-6)
    assert paired_difference(10, 10, 0)[0] == pytest.approx(-1)
    assert paired_difference(10, 0, 10)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("lost", "half_width", "provable"), [(8, 0.9, 0.6), (22, 1.5, 1.0), (44, 2.1, 1.5), (66, 2.5, 1.9)]
)
def test_paired_figures_for_900_questions_two_of_them_gained(lost: int, half_width: float, provable: float) -> None:
    low, high = paired_difference(900, lost, lost + 2, 0.95)
    assert 50 * (high - low) == pytest.approx(half_width, abs=0.12)  # published from the normal approximation
    margin = -100 * paired_difference(900, lost, lost + 2, 0.9)[0]
    assert margin == pytest.approx(provable, abs=0.12)


@pytest.mark.parametrize(("share", "points"), [(0.02, 1.2), (0.05, 1.9), (0.10, 2.6), (0.15, 3.2)])
def test_the_paired_detectable_drop_of_900_questions(share: float, points: float) -> None:
    assert 100 * paired_detectable_drop(900, share, 0.05) == pytest.approx(points, abs=0.05)


@pytest.mark.parametrize("share", [0.02, 0.15])
def test_the_exact_paired_test_needs_little_more_than_the_approximation(share: float) -> None:
    def power(drop: float) -> float:
        chance = (1 + drop / share) / 2
        return sum(
            probability(n, 900, share) * at_least(upper_limit(1, 2, n, 0.05) + 1, n, chance)
            for n in range(200)
            if probability(n, 900, share) > 1e-9
        )

    drop = paired_detectable_drop(900, share, 0.05, 0.8)
    assert power(drop) < 0.8 < power(drop * 1.06)


def test_non_inferiority_holds_up_to_the_lower_end_of_the_interval() -> None:
    low = paired_difference(900, 20, 22, 0.9)[0]
    assert non_inferior(900, 20, 22, -low + 1e-6, 0.05)
    assert not non_inferior(900, 20, 22, -low - 1e-6, 0.05)
    assert non_inferior(900, 44, 46, 0.02, 0.05)
    assert not non_inferior(900, 60, 40, 0.02, 0.05)
    assert not non_inferior(0, 0, 0, 0.02, 0.05)


def test_the_detectable_drop_is_refused_with_its_power_and_nothing_smaller_is() -> None:
    drop = detectable_drop(327, 900, 900, 303, 0.8)
    assert round(100 * drop, 1) == 4.0
    assert at_most(302, 900, 327 / 900 - drop) == pytest.approx(0.8, abs=1e-9)
    assert at_most(302, 900, 327 / 900 - drop + 0.001) < 0.8
    assert detectable_drop(327, 900, 900, 283, 0.8) > detectable_drop(327, 900, 900, 303, 0.9) > drop


def test_a_limit_that_refuses_nothing_detects_no_drop() -> None:
    assert detectable_drop(327, 900, 5, lower_limit(327, 900, 5, 0.05)) == math.inf
    assert detectable_drop(327, 900, 7, lower_limit(327, 900, 7, 0.05)) <= 327 / 900


@pytest.mark.parametrize("call", [lambda: wilson(5, 4), lambda: mcnemar(-1, 3), lambda: paired_difference(5, 3, 3)])
def test_impossible_counts_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="is not a count"):
        call()


def test_limits_need_a_reference() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        lower_limit(0, 0, 900, 0.05)
