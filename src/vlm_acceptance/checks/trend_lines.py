"""The judged trends of a soak as lines: the very fit that `trends` judges, and the steepest line within its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.checks.trends import KB_PER_MB, MOST_RISE, blocks_of, drift_of, first_judged, growth
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.stats.regression import Interval, centre

# of a line that is straight only on a logarithmic axis
PLACES = 25


@dataclass(frozen=True, slots=True)
class Fit:
    """The line of a trend at the places `x`, and the line of its limit, which begins where the fit does.

    `trend` is what is judged, in `unit`, and `limit` is what it may be at most.
    """

    x: Sequence[float]
    y: Sequence[float]
    limit_y: Sequence[float]
    trend: Interval
    limit: float
    unit: str

    @property
    def row(self) -> dict[str, Any]:
        """The fit as JSON; the interval is one of 99 %."""
        interval = {name: getattr(self.trend, name) for name in ("value", "low", "high", "n", "blocks")}
        lines = {name: [round(value, 6) for value in getattr(self, name)] for name in ("x", "y", "limit_y")}
        return {**lines, **interval, "limit": self.limit, "unit": self.unit}


def growth_fit(requests: Sequence[float], megabytes: Sequence[float], budget_kb: float) -> Fit | None:
    """Memory in megabytes by requests done, with a limit in kilobytes a request; None if it cannot be judged."""
    if not all(map(is_figure, (*requests, *megabytes))) or (line := growth(requests, megabytes)) is None:
        return None
    first = first_judged(len(requests))
    middle, height = centre(requests[first:], megabytes[first:])
    ends = (requests[first], requests[-1])
    rise = line.value / KB_PER_MB
    y = [height + rise * (x - middle) for x in ends]
    limit_y = [y[0] + budget_kb / KB_PER_MB * (x - ends[0]) for x in ends]
    return Fit(ends, y, limit_y, line, budget_kb, "KB a request")


def drift_fit(points: Sequence[tuple[float, float]], budget: float) -> Fit | None:
    """Times in seconds by the second at which a request began; None if they cannot be judged."""
    if not all(is_figure(value) for point in points for value in point):
        return None
    blocks, change = blocks_of(points), drift_of(points)
    if blocks is None or change is None or change.value <= -1:  # times that fell to nothing
        return None
    middle, height = centre(blocks.at_s, blocks.logs)
    rise = math.log1p(change.value) / blocks.rise_s
    step_s = (blocks.last_s - blocks.first_s) / (PLACES - 1)
    x = [blocks.first_s + number * step_s for number in range(PLACES)]
    y = [math.exp(height + rise * (at - middle)) for at in x]
    most = min(math.log1p(budget), MOST_RISE) / blocks.rise_s
    limit_y = [y[0] * math.exp(most * (at - x[0])) for at in x]
    return Fit(x, y, limit_y, change, budget, "share")
