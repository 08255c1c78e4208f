"""One part of a random partition against the others: against scipy and enumeration, and by simulation."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Sequence

import pytest
from scipy import stats

from vlm_acceptance.stats.partition import (
    detectable_part_drop,
    hypergeometric_at_most,
    needed_part_size,
    unlike_counts,
    unlike_scores,
)

EIGHT = (0.8, *[1.0] * 7)


def test_the_tails_are_those_of_scipy() -> None:
    for total, right, draws in ((20, 7, 5), (20, 15, 12), (1000, 784, 125), (1000, 1000, 125), (50, 0, 10)):
        for count in range(-1, draws + 2):
            expected = stats.hypergeom.cdf(count, total, right, draws)
            assert hypergeometric_at_most(count, draws, right, total) == pytest.approx(expected, rel=1e-7, abs=1e-13)


def test_p_is_the_share_of_all_partitions_doubled_for_two_sides_and_times_the_parts() -> None:
    answers = [1] * 7 + [0] * 3
    few = sum(sum(part) <= 1 for part in itertools.combinations(answers, 3))
    assert unlike_counts([(1, 3), (6, 7)])[0] == pytest.approx(2 * 2 * few / 120)


def test_equal_parts_are_alike() -> None:
    assert unlike_counts([(98, 125)] * 8) == [1] * 8
    assert unlike_counts([(0, 0), (3, 4)]) == [1, 1]
    assert unlike_counts([(5, 5)]) == [1]
    assert unlike_counts([]) == []


def test_only_the_part_that_differs_is_named() -> None:
    found = unlike_counts([(60, 125), *[(98, 125)] * 7])
    assert found[0] < 1e-6
    assert min(found[1:]) > 0.5


def test_a_part_that_is_right_more_often_is_named_too() -> None:
    assert unlike_counts([(125, 125), *[(80, 125)] * 7])[0] < 1e-6


def test_more_right_answers_than_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="more right"):
        unlike_counts([(3, 2), (1, 2)])


def test_scores_of_0_and_1_are_counts() -> None:
    assert unlike_scores([[1, 0, 0], [1, 1, 1, 0]]) == unlike_counts([(1, 3), (3, 4)])


def test_scores_agree_with_enumeration() -> None:
    # of two parts and of three; a deviation counts by its standard deviation, in the part that deviates most
    for sizes in ((3, 5), (2, 2, 4)):
        scores = [0, 0.3, 0.3, 0.9, 0.6, 1, 1, 0.3]
        edges = [0, *itertools.accumulate(sizes)]
        spreads = [math.sqrt(size * (8 - size)) for size in sizes]

        def deviations(order: Sequence[float], edges: list[int] = edges, spreads: list[float] = spreads) -> list[float]:
            bounds = zip(itertools.pairwise(edges), spreads, strict=True)
            return [abs(sum(order[low:high]) - (high - low) * 4.4 / 8) / spread for (low, high), spread in bounds]

        every = [max(deviations(order)) for order in itertools.permutations(scores)]
        parts = [scores[low:high] for low, high in itertools.pairwise(edges)]
        for p, seen in zip(unlike_scores(parts), deviations(scores), strict=True):
            share = sum(one >= seen - 1e-9 for one in every) / len(every)
            assert p == pytest.approx(share, abs=4 * share / math.sqrt(20))
        assert unlike_scores(parts) == unlike_scores(parts)


def test_two_parts_have_one_p() -> None:
    for one, other in (((60, 125), (98, 125)), ((7, 9), (41, 67)), ((3, 11), (8, 13))):
        first, second = unlike_counts([one, other])
        assert first == second
    first, second = unlike_scores([[0.3] * 20, [0.9, 0.6] * 15])
    assert first == second <= 0.001


def test_scores_without_differences_and_empty_parts_are_not_named() -> None:
    assert unlike_scores([[0.5] * 4] * 3) == [1] * 3
    assert unlike_scores([[0.5, 0.9, 0.1]]) == [1]
    assert unlike_scores([[], [0.2, 0.3, 1], [0.2, 1]])[0] == 1


def test_thousands_of_scores_take_seconds() -> None:
    rng = random.Random(4)
    parts = [[rng.choice((0, 0.6, 0.9, 1, 1, 1, 1)) * (rng.random() < keep) for _ in range(668)] for keep in EIGHT]
    started = time.process_time()
    found = unlike_scores(parts)
    # measured 2 s; one stream for each part took 98 s
    assert time.process_time() - started < 20
    assert found[0] == 1 / 2000 < min(found[1:])


def test_a_part_with_low_scores_has_the_least_p() -> None:
    rng = random.Random(1)
    kept = (1, 0.4, 1, 1)
    parts = [[rng.choice((0, 0.3, 0.6, 1, 1, 1)) * (rng.random() < keep) for _ in range(60)] for keep in kept]
    found = unlike_scores(parts)
    assert found[1] == min(found) <= 0.001
    assert sorted(found)[1] > 10 * found[1]


def test_alike_parts_are_named_as_often_as_allowed() -> None:
    rng, nights, counts = random.Random(2), 200, {"counts": 0, "scores": 0}
    for _ in range(nights):
        # easy and hard questions, alike within a picture, shared out at random
        scores = [score for _ in range(24) for score in [rng.choice((0, 0.3, 1, 1))] * 5]
        rng.shuffle(scores)
        parts = [scores[first : first + 30] for first in range(0, 120, 30)]
        counts["scores"] += min(unlike_scores(parts)) <= 0.2
        right = [[score == 1 for score in part] for part in parts]
        counts["counts"] += min(unlike_counts([(sum(part), 30) for part in right])) <= 0.2
    allowed = stats.binom.isf(0.001, nights, 0.2)
    assert 10 < counts["scores"] <= allowed
    assert 10 < counts["counts"] <= allowed


def test_the_needed_size_is_that_of_the_detectable_drop() -> None:
    size = needed_part_size(0.1, 0.4, 8, 0.001)
    assert detectable_part_drop(0.4, 8, size, 0.001) <= 0.1 < detectable_part_drop(0.4, 8, size - 1, 0.001)


def test_no_drop_can_be_found_in_one_part_or_by_few_scores() -> None:
    for deviation, parts, size in ((0.4, 1, 100), (0.4, 0, 100), (0.4, 8, 0), (0.4, 8, 1), (0.0, 8, 100)):
        assert detectable_part_drop(deviation, parts, size, 0.001) == math.inf
    assert detectable_part_drop(0.4, 2, 100, 0.001) < 1


@pytest.mark.parametrize(
    ("drop", "deviation", "parts", "text"),
    [
        (0, 0.4, 8, "a drop of 0 is not"),
        (1.5, 0.4, 8, "a drop of 1.5 is not"),
        (0.1, 0.0, 8, "a deviation of 0.0 is not"),
        (0.1, math.inf, 8, "a deviation of inf"),
        (0.1, 0.4, 1, "1 parts cannot be compared"),
    ],
)
def test_a_size_that_no_number_can_meet_is_refused(drop: float, deviation: float, parts: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        needed_part_size(drop, deviation, parts, 0.001)


def test_the_needed_size_finds_the_drop_with_its_power() -> None:
    rng, nights, found = random.Random(3), 400, 0
    size = needed_part_size(0.1, math.sqrt(0.7 * 0.3), 4, 0.01)
    for _ in range(nights):
        parts = [(sum(rng.random() < share for _ in range(size)), size) for share in (0.7, 0.8, 0.8, 0.8)]
        found += unlike_counts(parts)[0] <= 0.01
    assert 0.7 <= found / nights <= 0.9
