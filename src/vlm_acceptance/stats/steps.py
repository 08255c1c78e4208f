"""Steps in a series of figures, one figure a night: which change is larger than nights differ by chance.

A figure, or the mean of the last five, is compared with the figures before it by a t test for a new observation: how
far it lies from their mean, in units of how much they differ among themselves. `alpha` is the probability that a
series without any step gets one or more, however long it is (Bonferroni), if nights are independent and their tails no
heavier than those of Student's t with 8 degrees of freedom. The scale must be one on which nights differ alike:
logarithms of times, `arcsine` of shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from vlm_acceptance.stats.regression import t_quantile

FEWEST, MOST = 5, 60  # figures that a new one is compared with
RECENT = 5  # figures whose mean is compared, too, and that make a step a lasting one
_TRIMMED = 10  # of so many figures, the least and the greatest are not used for mean and spread
_LOCATED = 10  # a lasting step that was found late began within so many figures
# Student's t of so many degrees of freedom at most: nights have heavier tails than a normal distribution, their means
# less so
_TAILS, _TAILS_OF_MEANS = 8, 16
_TESTS = 4  # of each figure: alone and with those before it, above and below


@dataclass(frozen=True, slots=True)
class Step:
    """Figures `start` to `end` (the first after them) differ from the level `before`; `level` is their mean.

    `end` is the number of figures where the step lasts until the end.
    """

    start: int
    end: int
    before: float
    level: float


@dataclass(frozen=True, slots=True)
class _Usual:
    """Mean and spread of the figures that a new one is compared with, and their degrees of freedom."""

    centre: float
    spread: float
    n: int
    df: int

    def distance(self, value: float, count: int = 1) -> float:
        """How far the mean of `count` new figures lies from the mean, in units of Student's t."""
        return abs(value - self.centre) / (self.spread * math.sqrt(1 / count + 1 / self.n))


def arcsine(right: int, total: int) -> float:
    """A count as an angle whose spread does not depend on the share (Anscombe): 0 to pi/2."""
    return math.asin(math.sqrt((right + 3 / 8) / (total + 3 / 4)))


def steps(values: Sequence[float | None], alpha: float, least: float) -> list[Step]:
    """The steps of a series in their order; None is a night without the figure.

    `least` is the smallest spread that is assumed, for figures that are often equal.
    """
    known = [index for index, value in enumerate(values) if value is not None]
    search = _Search([value for value in values if value is not None], alpha, least)
    search.run()
    found = sorted(search.found)  # one that was found late may begin before another
    nexts = [start for start, *_ in found[1:]]
    made = []
    for (start, end, before), limit in zip(found, [*nexts, len(search.values)], strict=False):
        last = max(start + 1, min(end, limit))
        level = fmean(search.values[start:last])
        made.append(Step(known[start], known[last] if last < len(known) else len(values), before, level))
    return made


class _Search:
    """One pass over the figures, from the first to the last."""

    def __init__(self, values: Sequence[float], alpha: float, least: float) -> None:
        self.values, self.least = values, least
        self.tail = alpha / (_TESTS * max(1, len(values)))
        self.usual: list[int] = []  # what new figures are compared with
        self.beyond: list[int] = []  # those of a step that is not over
        self.found: list[tuple[int, int, float]] = []

    def run(self) -> None:
        for index in range(len(self.values)):
            if self._continues(index):
                continue
            self.beyond = []
            usual = self._usual(self.usual)
            if usual and self._is_beyond(usual, self.values[index]):
                self.beyond = [index]
                self.found.append((index, len(self.values), usual.centre))
            else:
                self.usual = [*self.usual, index][-MOST:]
                self._look_back()

    def _continues(self, index: int) -> bool:
        """Whether a figure belongs to the step that is open; it does if it is nearer to it than to the level before."""
        if not self.beyond:
            return False
        start, _, before = self.found[-1]
        level = fmean(self.values[one] for one in self.beyond)
        if (self.values[index] - (before + level) / 2) * (level - before) <= 0:
            self.found[-1] = (start, index, before)
            return False
        self.beyond.append(index)
        if len(self.beyond) == RECENT:
            self.usual, self.beyond = self.beyond, []
        return True

    def _look_back(self) -> None:
        """Find a step that is too small for one figure, from the mean of the last ones."""
        usual = self._usual(self.usual[:-RECENT])
        recent = self.usual[-RECENT:]
        if usual is None or not self._is_beyond(usual, self._mean(recent), RECENT):
            return
        most, least = min(len(self.usual) - FEWEST, _LOCATED), 2
        count = max(range(least, most + 1), key=self._split)
        before = self._usual(self.usual[:-count])
        assert before is not None  # `most` leaves enough
        self.usual = self.usual[-count:]
        self.found.append((self.usual[0], len(self.values), before.centre))

    def _split(self, count: int) -> float:
        usual = self._usual(self.usual[:-count])
        return usual.distance(self._mean(self.usual[-count:]), count) if usual else 0.0

    def _mean(self, indexes: Sequence[int]) -> float:
        return fmean(self.values[index] for index in indexes)

    def _is_beyond(self, usual: _Usual, value: float, count: int = 1) -> bool:
        df = min(usual.df, _TAILS if count == 1 else _TAILS_OF_MEANS)
        return usual.distance(value, count) > _limit(self.tail, df)

    def _usual(self, indexes: Sequence[int]) -> _Usual | None:
        if len(indexes) < FEWEST:
            return None
        ordered = sorted(self.values[index] for index in indexes)
        cut = len(ordered) // _TRIMMED
        kept = ordered[cut : len(ordered) - cut]
        moved = [kept[0]] * cut + kept + [kept[-1]] * cut  # Winsor's spread, as in Yuen's test of trimmed means
        middle = fmean(moved)
        spread = math.sqrt(sum((value - middle) ** 2 for value in moved) / (len(moved) - 1))
        spread *= (len(moved) - 1) / (len(kept) - 1)
        return _Usual(fmean(kept), max(spread, self.least), len(kept), len(kept) - 1)


@lru_cache(maxsize=1000)
def _limit(tail: float, df: int) -> float:
    return t_quantile(1 - tail, df)
