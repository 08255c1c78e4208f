"""Slopes of figures over time, with intervals that allow for dependent figures.

Figures sampled one after another are not independent: the means of consecutive blocks are the sample, and the interval
is wider where neighbouring residuals of the blocks are still similar. `confidence` is two-sided.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vlm_acceptance.stats.binomial import bisected

BLOCKS = 12
FEWEST_BLOCKS = 4
# upper bound of the correlation of neighbouring residuals; keeps intervals finite
_MOST_DEPENDENT = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, its interval, and the numbers of samples `n` and of blocks it was made from."""

    value: float
    low: float
    high: float
    n: int
    blocks: int

    def scaled(self, factor: float) -> Interval:
        """The same in another unit; the factor is positive."""
        return Interval(self.value * factor, self.low * factor, self.high * factor, self.n, self.blocks)


def t_quantile(share: float, df: int) -> float:
    """The point below which Student's t with `df` degrees of freedom lies with the probability `share`."""
    if not 0 < share < 1 or df < 1:
        raise ValueError(f"no quantile {share} with {df} degrees of freedom")
    if share < 0.5:
        return -t_quantile(1 - share, df)
    high = 1.0
    while t_below(high, df) < share:
        high *= 2
    return sum(bisected(0, high, lambda point: t_below(point, df) < share)) / 2


def t_below(point: float, df: int) -> float:
    """P(T <= point) of Student's t, by the finite series for whole degrees of freedom."""
    angle = math.atan(point / math.sqrt(df))
    cosine, is_odd = math.cos(angle), df % 2 == 1
    term = cosine if is_odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(3 if is_odd else 2, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = math.sin(angle) * total
    return 0.5 + (2 / math.pi * (angle + inside) if is_odd else inside) / 2


def block_means(values: Sequence[float], blocks: int) -> list[float]:
    """Means of `blocks` consecutive stretches of nearly equal length; needs at least as many values."""
    edges = [len(values) * number // blocks for number in range(blocks + 1)]
    return [fmean(values[start:end]) for start, end in itertools.pairwise(edges)]


def slope(xs: Sequence[float], ys: Sequence[float], confidence: float = 0.99) -> Interval | None:
    """Least squares through the means of consecutive blocks; None for too few samples or a constant x.

    A positive correlation r of neighbouring residuals makes the interval wider by the root of (1 + r) / (1 - r).
    """
    if len(xs) < FEWEST_BLOCKS:
        return None
    blocks = min(BLOCKS, len(xs))
    across, up = block_means(xs, blocks), block_means(ys, blocks)
    middle, height = fmean(across), fmean(up)
    spread = sum((x - middle) ** 2 for x in across)
    if not spread > 0:
        return None
    rise = sum((x - middle) * (y - height) for x, y in zip(across, up, strict=True)) / spread
    left = [y - height - rise * (x - middle) for x, y in zip(across, up, strict=True)]
    error = math.sqrt(sum(value * value for value in left) / (blocks - 2) / spread)
    half = t_quantile(0.5 + confidence / 2, blocks - 2) * error * dependence(left)
    return Interval(rise, rise - half, rise + half, len(xs), blocks)


def centre(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """The point through which the line of `slope` goes: the means of the same blocks."""
    blocks = min(BLOCKS, len(xs))
    return fmean(block_means(xs, blocks)), fmean(block_means(ys, blocks))


def dependence(residuals: Sequence[float]) -> float:
    """The factor by which similar neighbouring residuals widen an interval; 1 where they are not similar."""
    power = sum(value * value for value in residuals)
    if power <= 0:
        return 1.0
    alike = sum(a * b for a, b in itertools.pairwise(residuals)) / power
    alike = min(max(alike, 0.0), _MOST_DEPENDENT)
    return math.sqrt((1 + alike) / (1 - alike))
