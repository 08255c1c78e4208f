"""What a figure of a sample may be, from samples drawn out of what was measured."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter

Drawn = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=64)
def draws(total: int, size: int, count: int, seed: int = 0) -> Drawn:
    """`count` samples of `size` places below `total`, with replacement; the same for the same arguments."""
    chance = random.Random(f"{seed} {total} {size}")  # noqa: S311  nothing is kept secret by it
    return tuple(tuple(chance.choices(range(total), k=size)) for _ in range(count))


@lru_cache(maxsize=64)
def spread_draws(total: int, size: int, count: int, seed: int = 0) -> Drawn:
    """`count` samples of evenly spread places: one at random out of each of `size` equal parts of the row.

    The same for the same arguments; with a size of more than half of `total`, some parts have one place only.
    """
    chance = random.Random(f"spread {seed} {total} {size}")  # noqa: S311  nothing is kept secret by it
    edges = [number * total // size for number in range(size + 1)]
    parts = [(first, max(1, after - first)) for first, after in pairwise(edges)]
    return tuple(tuple(first + int(chance.random() * count) for first, count in parts) for _ in range(count))


def ratios(above: Sequence[float], below: Sequence[float], drawn: Drawn) -> list[float]:
    """For each sample the sum of `above` by the sum of `below`; infinite where the latter is zero."""
    found = []
    for places in drawn:
        # with its first place once more it gets a tuple, also of one place
        taken = itemgetter(places[0], *places)
        total = sum(taken(below)[1:])
        found.append(sum(taken(above)[1:]) / total if total else math.inf)
    return found


def maxima(values: Sequence[float], drawn: Drawn) -> list[float]:
    """The largest value of each sample."""
    return [max(itemgetter(places[0], *places)(values)) for places in drawn]


def upper(values: Sequence[float], alpha: float) -> float:
    """The least of the values that at most this share of them exceeds; there must be one."""
    ordered = sorted(values)
    return ordered[len(ordered) - 1 - math.floor(alpha * len(ordered))]


def lower(values: Sequence[float], alpha: float) -> float:
    """The largest of the values that at most this share of them falls below; there must be one."""
    ordered = sorted(values)
    return ordered[math.floor(alpha * len(ordered))]
