"""Steps in series: what is larger than chance is found where it begins, and chance is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from vlm_acceptance.stats.steps import FEWEST, Step, arcsine, steps

ALPHA, LEAST = 0.05 / 20, 0.01


def quiet(count: int, seed: int = 1, spread: float = 0.05) -> list[float | None]:
    chance = random.Random(seed)
    return [chance.gauss(0, spread) for _ in range(count)]


def places(found: list[Step]) -> list[tuple[int, int]]:
    return [(step.start, step.end) for step in found]


def raised(values: list[float | None], by: float, start: int, end: int | None = None) -> list[float | None]:
    rows = enumerate(values)
    return [v + by if v is not None and start <= at < (end or len(values)) else v for at, v in rows]


def test_one_night_is_a_step_of_its_own() -> None:
    (step,) = steps(raised(quiet(30), math.log(1.6), 20, 21), ALPHA, LEAST)
    assert (step.start, step.end) == (20, 21)
    assert abs(step.before) < 0.03 and step.level - step.before == pytest.approx(math.log(1.6), abs=0.1)


@pytest.mark.parametrize("by", [0.5, -0.5], ids=["up", "down"])
def test_a_lasting_step_is_one_step_from_its_first_night(by: float) -> None:
    assert places(steps(raised(quiet(40), by, 15), ALPHA, LEAST)) == [(15, 40)]


def test_a_step_that_goes_back_ends_there() -> None:
    assert places(steps(raised(quiet(30), 0.5, 15, 18), ALPHA, LEAST)) == [(15, 18)]


def test_a_lasting_step_that_goes_back_is_two_steps() -> None:
    assert places(steps(raised(quiet(60), 0.6, 20, 40), ALPHA, LEAST)) == [(20, 40), (40, 60)]


def test_a_step_too_small_for_one_night_is_found_by_the_mean_of_five_and_placed() -> None:
    values = raised(quiet(60), 0.15, 30)
    (step,) = steps(values, ALPHA, LEAST)
    assert abs(step.start - 30) <= 2 and step.end == 60


def test_an_early_outlier_does_not_hide_a_later_one() -> None:
    values = raised(raised(quiet(30), 0.5, 2, 3), 0.5, 25, 26)
    assert (25, 26) in places(steps(values, ALPHA, LEAST))


def test_nights_without_the_figure_are_passed_over() -> None:
    values = raised(quiet(30), 0.6, 20, 21)
    gaps: list[float | None] = [None, None, *values[:10], None, *values[10:]]
    assert places(steps(gaps, ALPHA, LEAST)) == [(23, 24)]


@pytest.mark.parametrize("count", range(FEWEST + 1))
def test_too_few_nights_have_no_step(count: int) -> None:
    assert steps([*quiet(count), 5.0][:FEWEST], ALPHA, LEAST) == []


def test_equal_figures_have_no_step_and_a_small_difference_is_none() -> None:
    assert steps([1.0] * 30, ALPHA, LEAST) == []
    assert steps([1.0] * 30 + [1.02], ALPHA, LEAST) == []
    assert places(steps([1.0] * 30 + [1.2], ALPHA, LEAST)) == [(30, 31)]


def normal(chance: random.Random) -> float:
    return chance.gauss(0, 0.05)


def heavy(chance: random.Random) -> float:
    # Student's t with 8 degrees of freedom: a night in a hundred is three spreads away
    return 0.05 * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(4, 2) / 8)


@pytest.mark.parametrize("draw", [normal, heavy])
def test_two_hundred_quiet_histories_have_a_step_in_at_most_one_of_twenty(
    draw: Callable[[random.Random], float],
) -> None:
    chance = random.Random(15)
    marked = 0
    for _ in range(200):
        together = [draw(chance) for _ in range(30)]
        series = [[shared + draw(chance) for shared in together] for _ in range(20)]
        marked += any(steps(values, ALPHA, LEAST) for values in series)
    assert marked <= 10


def test_the_angle_of_a_count_has_the_same_spread_whatever_the_share() -> None:
    chance = random.Random(3)
    for share in (0.3, 0.5, 0.9):
        angles = [arcsine(sum(chance.random() < share for _ in range(200)), 200) for _ in range(400)]
        middle = sum(angles) / len(angles)
        spread = math.sqrt(sum((angle - middle) ** 2 for angle in angles) / len(angles))
        assert spread == pytest.approx(1 / (2 * math.sqrt(200)), rel=0.15)
