"""Trends under a steady load: memory by requests, times by time, judged by the confidence interval of the slope."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, is_figure
from vlm_acceptance.stats.regression import BLOCKS, FEWEST_BLOCKS, Interval, slope

# caches and allocators fill at first: that is not a leak
WARM_UP = 1 / 3
# growth in the last third only is a step, not a trend
EARLY = 2 / 3
FEWEST_SAMPLES = 12
FEWEST_IN_A_BLOCK = 5
# of a logarithm: 20,000 times as long; avoids an overflow
MOST_RISE = 10.0
KB_PER_MB = 1024


def leak(requests: Sequence[float], megabytes: Sequence[float], where: str, budget_kb: float) -> list[Finding]:
    """Memory does not grow by more than `budget_kb` a request; a leak is a slope whose whole interval is above it.

    Both the samples after the first third and the later half of these must show it: filling caches level off.
    EnvironmentProblem if there are too few samples, or one is no figure.
    """
    _require_figures((*requests, *megabytes), f"the memory of {where}")
    whole, late = (growth(requests, megabytes, start) for start in (WARM_UP, (1 + WARM_UP) / 2))
    if whole is None or late is None:
        seen = f"{len(megabytes)} samples over {len(set(requests))} counts of requests"
        raise EnvironmentProblem(f"too few to judge the memory of {where}: {seen}; the soak was too short")
    if is_at_most(whole.low, budget_kb) or is_at_most(late.low, budget_kb):
        return []
    expected = f"at most {budget_kb:g} KB more a request"
    return [Finding(kinds.LEAK, expected, f"{shown(whole)} KB a request; later half {shown(late)}", where)]


def growth(requests: Sequence[float], megabytes: Sequence[float], start: float = WARM_UP) -> Interval | None:
    """Kilobytes more a request, from the samples after the share `start`; None if there are too few."""
    if len(requests) < FEWEST_SAMPLES:
        return None
    first = first_judged(len(requests), start)
    line = slope(requests[first:], megabytes[first:])
    return line.scaled(KB_PER_MB) if line is not None else None


def first_judged(samples: int, start: float = WARM_UP) -> int:
    """The place of the first of the samples of memory that are judged."""
    return int(samples * start)


def drift(points: Sequence[tuple[float, float]], where: str, budget: float) -> list[Finding]:
    """Times (at second, value) of the last third exceed those of the first by at most the share `budget`.

    A finding needs the whole interval beyond it, and growth in the first two thirds too: another load starts at once.
    EnvironmentProblem if there are too few times, or one is no figure.
    """
    _require_figures([value for point in points for value in point], where)
    whole, early = drift_of(points), drift_of(points, EARLY)
    if whole is None or early is None:
        raise EnvironmentProblem(f"too few to judge whether {where} grows: {len(points)} times; the soak was too short")
    if is_at_most(whole.low, budget) or is_at_most(early.low, 0):
        return []
    expected = f"times of the last third within {1 + budget:g} times those of the first"
    seen = f"{1 + whole.value:.3g} times (99 % interval {1 + whole.low:.3g} to {1 + whole.high:.3g}, n={whole.n})"
    return [Finding(kinds.DRIFT, expected, seen, where)]


def _require_figures(values: Sequence[float], what: str) -> None:
    odd = [value for value in values if not is_figure(value)]
    if odd:
        raise EnvironmentProblem(f"{what} cannot be judged: {len(odd)} samples are no finite number, first {odd[0]!r}")


def can_drift(points: Sequence[tuple[float, float]]) -> bool:
    """Whether there are enough times to judge."""
    return drift_of(points, EARLY) is not None


def drift_of(points: Sequence[tuple[float, float]], until: float = 1.0) -> Interval | None:
    """By what share the last third takes longer than the first, in the first `until` of the points; None for too few.

    It is the rise, over two thirds of the time, of a line through the logarithms of the medians of blocks.
    """
    blocks = blocks_of(points, until)
    line = slope(blocks.at_s, blocks.logs) if blocks is not None else None
    if blocks is None or line is None:
        return None
    low, middle, high = (math.expm1(min(end * blocks.rise_s, MOST_RISE)) for end in (line.low, line.value, line.high))
    return Interval(middle, low, high, blocks.n, len(blocks.logs))


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a drift is judged by: the middle second of each block of times, and the logarithm of its median.

    `n` times from the second `first_s` to `last_s`; `rise_s` are two thirds of that.
    """

    at_s: Sequence[float]
    logs: Sequence[float]
    n: int
    first_s: float
    last_s: float

    @property
    def rise_s(self) -> float:
        """The seconds over which the rise is judged."""
        return (self.last_s - self.first_s) * 2 / 3


def blocks_of(points: Sequence[tuple[float, float]], until: float = 1.0) -> Blocks | None:
    """The blocks of times (at second, value) in the first `until` of the points; None for too few."""
    ordered = sorted(point for point in points if point[1] > 0)
    kept = ordered[: int(len(ordered) * until)]
    blocks = min(BLOCKS, len(kept) // FEWEST_IN_A_BLOCK)
    if blocks < FEWEST_BLOCKS:
        return None
    edges = [len(kept) * number // blocks for number in range(blocks + 1)]
    parts = [kept[start:end] for start, end in itertools.pairwise(edges)]
    logs = [math.log(median(value for _, value in part)) for part in parts]
    return Blocks([median(at for at, _ in part) for part in parts], logs, len(kept), kept[0][0], kept[-1][0])


def shown(interval: Interval) -> str:
    """The estimate with its interval, samples and blocks."""
    rest = f"99 % interval {interval.low:.3g} to {interval.high:.3g}, n={interval.n} in {interval.blocks} blocks"
    return f"{interval.value:.3g} ({rest})"
