"""Paired tests of scores: against enumeration and McNemar's test, and by simulation."""

from __future__ import annotations

import itertools
import random

import pytest
from scipy import stats

from vlm_acceptance.stats import paired
from vlm_acceptance.stats.binomial import mcnemar, paired_difference
from vlm_acceptance.stats.paired import difference_limit, flip_test, group_sums, scores_non_inferior, sign_test


def enumerated(units: list[int]) -> float:
    patterns = list(itertools.product((-1, 1), repeat=len(units)))
    beyond = sum(
        sum(sign * abs(unit) for sign, unit in zip(signs, units, strict=True)) <= sum(units) for signs in patterns
    )
    return beyond / len(patterns)


def test_differences_are_summed_by_group() -> None:
    assert group_sums([("a", -0.5), ("b", 1), ("a", -0.25)]) == ([-0.75, 1], [2, 1])
    assert group_sums([]) == ([], [])


def test_the_flip_test_counts_all_sign_patterns() -> None:
    rng = random.Random(1)
    for _ in range(50):
        units = [rng.randrange(-10, 11) for _ in range(rng.randrange(11))]
        assert flip_test([unit / 10 for unit in units]) == pytest.approx(enumerated(units), abs=1e-15)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (5, 0), (0, 5), (30, 12), (200, 150)])
def test_for_right_and_wrong_both_tests_are_mcnemars(lost: int, gained: int) -> None:
    sums = [-1.0] * lost + [1.0] * gained + [0.0] * 20
    assert flip_test(sums) == pytest.approx(mcnemar(lost, gained), rel=1e-9)
    assert sign_test(sums) == mcnemar(lost, gained)


def test_large_losses_weigh_more_in_the_flip_test_only() -> None:
    sums = [-1.0] * 8 + [0.1] * 12
    assert flip_test(sums) < 0.01 < 0.5 < sign_test(sums)


def test_rounding_leaves_no_difference_where_there_is_none() -> None:
    sums = [0.1 + 0.2 - 0.3, 0.9 - 0.6 - 0.3]
    assert (flip_test(sums), sign_test(sums)) == (1, 1)


def test_with_many_differences_a_coarser_grid_or_random_signs_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(2)
    sums = [rng.uniform(-1, 0.8) for _ in range(60)]
    exact = flip_test(sums)
    monkeypatch.setattr(paired, "_MOST_BITS", 20_000)  # leaves a grid of tenths
    assert flip_test(sums) == pytest.approx(exact, rel=0.3)
    monkeypatch.setattr(paired, "_MOST_BITS", 0)
    assert flip_test(sums) == flip_test(sums) == pytest.approx(exact, abs=5 * (exact / 9999) ** 0.5)
    assert flip_test([-1.0] * 60) == 1 / 10_000  # never 0


def test_equally_good_runs_are_rejected_as_often_as_allowed() -> None:
    rng, runs, counts = random.Random(3), 1000, {"flip": 0, "sign": 0}
    for _ in range(runs):
        # many small gains and few large losses with the same sign chance, in pictures of several questions
        sums = [rng.choice((-1, 1)) * rng.choice((0.1, 0.3, 1.0, 2.6)) for _ in range(30)]
        counts["flip"] += flip_test(sums) <= 0.05
        counts["sign"] += sign_test(sums) <= 0.05
    allowed = stats.binom.isf(0.001, runs, 0.05)
    assert 20 < counts["flip"] <= allowed
    assert 0 < counts["sign"] <= allowed


def test_no_questions_leave_all_differences_possible() -> None:
    assert difference_limit([], [], 0.05) == -1


def test_few_changes_have_the_limit_of_counts() -> None:
    sums = [-1.0, -1.0] + [0.0] * 98
    assert difference_limit(sums, [1] * 100, 0.05) == pytest.approx(paired_difference(100, 2, 0, 0.9)[0])


def test_pictures_lost_together_count_once() -> None:
    assert difference_limit([-5.0] + [0.0] * 99, [5] * 100, 0.05) == pytest.approx(
        difference_limit([-1.0] + [0.0] * 99, [1] * 100, 0.05)
    )
    # 2.7 / (100 + 2.7): no loss among 100 pictures, whatever the number of their questions
    assert difference_limit([0.0] * 100, [5] * 100, 0.05) == pytest.approx(-0.02634, abs=1e-5)


def test_a_small_chance_to_lose_whole_pictures_is_missed_as_often_as_allowed() -> None:
    # 4.8 % of the runs lose no picture at all
    rng, runs, wrong = random.Random(6), 1000, 0
    for _ in range(runs):
        sums = [-10.0 * (rng.random() < 0.03) for _ in range(100)]
        wrong += scores_non_inferior(sums, [10] * 100, 0.03, 0.05)
    assert 0 < wrong <= stats.binom.isf(0.001, runs, 0.05)


@pytest.mark.parametrize("sizes", [[1] * 20 + [50], [1], [30, 1]])
@pytest.mark.parametrize("difference", [-1.0, 0.0, 1.0])
def test_the_limit_is_a_difference(sizes: list[int], difference: float) -> None:
    limit = difference_limit([size * difference for size in sizes], sizes, 0.001)
    assert -1 <= limit <= difference


def test_dependent_differences_lower_the_limit() -> None:
    rng = random.Random(4)
    sums = [rng.choice((-5.0, 5.0, 0.0)) for _ in range(100)]
    assert difference_limit(sums, [5] * 100, 0.05) < difference_limit(
        [one / 5 for one in sums for _ in range(5)], [1] * 500, 0.05
    )


# the mean difference is exactly -margin: 15 or 24 % of the pictures change, with three questions each
@pytest.mark.parametrize(("share", "loss", "gain", "least"), [(0.15, 1.0, 1.0, 1), (0.24, 0.3125, 0.15625, 0)])
def test_a_margin_is_ruled_out_falsely_as_often_as_allowed(share: float, loss: float, gain: float, least: int) -> None:
    rng, runs, margin, wrong = random.Random(5), 1000, 0.03, 0
    assert share * (0.6 * loss - 0.4 * gain) == pytest.approx(margin)
    for _ in range(runs):
        sums = [3 * rng.choice((-loss, -loss, -loss, gain, gain)) * (rng.random() < share) for _ in range(300)]
        wrong += scores_non_inferior(sums, [3] * 300, margin, 0.05)
    assert least <= wrong <= stats.binom.isf(0.001, runs, 0.05)
