"""Paired comparison of scores in 0..1: exact one-sided tests, and an interval of the mean difference.

A difference is the later score minus the earlier one of the same question. Where differences depend on each other, as
those of questions about one picture, their sum by group is tested (`group_sums`). `alpha` is a one-sided error.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import compress

from vlm_acceptance.stats.binomial import mcnemar, paired_difference
from vlm_acceptance.stats.means import sample_of_sums, t_limit

# units of a score, finest first; each of them holds tenths, which VQA accuracy has
_GRIDS = (1000, 100, 10)
# bits of the exact count of sign patterns; below a second
_MOST_BITS = 30_000_000
_MOST_WORK = 20_000_000_000  # bits times groups
_SIMULATIONS = 9_999


def group_sums(differences: Iterable[tuple[Hashable, float]]) -> tuple[list[float], list[int]]:
    """Sum and number of the differences of each group, from pairs (group, difference)."""
    sums: dict[Hashable, float] = defaultdict(float)
    sizes: dict[Hashable, int] = defaultdict(int)
    for group, difference in differences:
        sums[group] += difference
        sizes[group] += 1
    return list(sums.values()), list(sizes.values())


def sign_test(sums: Sequence[float]) -> float:
    """Exact p: so many or more losses if losses and gains are equally likely, whatever their size.

    For scores of 0 and 1 without groups it is McNemar's test.
    """
    lost = sum(value < 0 for value in _units(sums, _GRIDS[0]))
    gained = sum(value > 0 for value in _units(sums, _GRIDS[0]))
    return mcnemar(lost, gained)


def flip_test(sums: Sequence[float], seed: int = 0) -> float:
    """One-sided p: so large a loss or a larger one if every difference is as likely with the other sign.

    Exact, for differences rounded to a grid of 0.001, 0.01 or 0.1; with too many for it, from seeded random signs.
    """
    for grid in _GRIDS:
        units = [value for value in _units(sums, grid) if value]
        bits = (len(units) + 2) * (sum(map(abs, units)) + 1)
        if bits <= _MOST_BITS and bits * len(units) <= _MOST_WORK:
            return _counted(units)
    return _simulated(sums, seed)


def _units(values: Sequence[float], grid: int) -> list[int]:
    # rounding depends on the size alone and not on the sign, so the test stays exact; Python rounds halves alike
    return [round(value * grid) for value in values]


def _counted(units: Sequence[int]) -> float:
    """The share of all sign patterns with a loss as large as the observed, counted without rounding.

    The pattern that takes the values v1, v2, .. as gains is one of x^(v1 + v2 + ..) in the product of all (1 + x^v).
    The product is one whole number, in which every power of x has a field of `width` bits.
    """
    width = len(units) + 2  # no count of patterns fills it
    ways = 1
    for value in units:
        ways += ways << (abs(value) * width)
    gained = sum(value for value in units if value > 0)
    few = ways & ((1 << (gained + 1) * width) - 1)
    # the sum of the fields is the remainder, as 2^width is 1 more than the divisor
    return few % ((1 << width) - 1) / (1 << len(units))


def _simulated(sums: Sequence[float], seed: int) -> float:
    """The same from random signs; the observed ones count as one of them, so that the p is valid."""
    chance = random.Random(f"{seed} {len(sums)}")  # noqa: S311  nothing is kept secret by it
    sizes = [abs(value) for value in sums if value]
    gained = math.fsum(value for value in sums if value > 0) + 1e-9
    beyond = 0
    for _ in range(_SIMULATIONS):
        signs = chance.getrandbits(len(sizes))
        beyond += sum(compress(sizes, map(int, f"{signs:0{len(sizes)}b}"))) <= gained
    return (beyond + 1) / (_SIMULATIONS + 1)


def difference_limit(sums: Sequence[float], sizes: Sequence[int], alpha: float) -> float:
    """A lower limit of the mean difference, -1..1: the lower one of two.

    Student's t by groups allows for dependent differences, but needs many; Tango's limit allows for few. It counts
    whole groups of the largest size, which are lost or gained together.
    """
    # Tango's limit is approximate: at 0.05 with no loss seen among 100 groups the error is up to 7 %.
    n = sum(sizes)
    if not n:
        return -1.0
    groups, largest = len(sizes), max(sizes)
    lost = math.ceil(-math.fsum(value for value in sums if value < 0) / largest - 1e-9)
    gained = math.floor(math.fsum(value for value in sums if value > 0) / largest + 1e-9)
    # the mean over the groups of sum / largest is that of all questions times n / (groups * largest)
    limit = paired_difference(groups, lost, gained, 1 - 2 * alpha)[0] * groups * largest / n
    if groups > 1:
        limit = min(limit, t_limit(sample_of_sums(sums, sizes), alpha))
    return min(1.0, max(-1.0, limit))


def scores_non_inferior(sums: Sequence[float], sizes: Sequence[int], margin: float, alpha: float) -> bool:
    """Whether a drop of the mean of `margin` or more is ruled out with an error of at most `alpha`."""
    return difference_limit(sums, sizes, alpha) > -margin
