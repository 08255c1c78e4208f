"""The lines of trends for a plot are those that are judged."""

from __future__ import annotations

import math
import random

import pytest

from vlm_acceptance.checks.trend_lines import drift_fit, growth_fit
from vlm_acceptance.checks.trends import drift, drift_of, growth, leak

REQUESTS = [float(n * 7) for n in range(120)]


def memory(mb_per_request: float) -> list[float]:
    draw = random.Random(3)
    return [2000 + mb_per_request * n + draw.gauss(0, 2) for n in REQUESTS]


def times(share: float) -> list[tuple[float, float]]:
    """Times that grow evenly, in the logarithm, so that those of the last third are longer by this share."""
    draw = random.Random(4)
    return [(n / 10, math.exp(math.log1p(share) * n / 400 + draw.gauss(0, 0.05))) for n in range(600)]


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.5])
def test_the_line_of_memory_has_the_judged_slope_and_goes_through_the_samples(slope: float) -> None:
    fit = growth_fit(REQUESTS, memory(slope), 64)
    assert fit is not None and fit.trend == growth(REQUESTS, memory(slope))
    assert list(fit.x) == [REQUESTS[40], REQUESTS[-1]]
    rise_kb = (fit.y[1] - fit.y[0]) / (fit.x[1] - fit.x[0]) * 1024
    assert rise_kb == pytest.approx(fit.trend.value)
    for x, y in zip(fit.x, fit.y, strict=True):
        assert y == pytest.approx(2000 + slope * x, abs=3)


def test_the_line_of_the_limit_begins_at_the_fit_and_rises_by_the_limit() -> None:
    fit = growth_fit(REQUESTS, memory(1.0), 64)
    assert fit is not None and fit.limit_y[0] == fit.y[0]
    assert fit.limit_y[1] - fit.limit_y[0] == pytest.approx(64 / 1024 * (fit.x[1] - fit.x[0]))
    assert leak(REQUESTS, memory(1.0), "engine", 64) and fit.y[1] > fit.limit_y[1]


@pytest.mark.parametrize("share", [0.0, 1.0, 3.0])
def test_the_line_of_times_rises_by_the_judged_share_over_two_thirds(share: float) -> None:
    points = times(share)
    fit = drift_fit(points, 0.5)
    assert fit is not None and fit.trend == drift_of(points)
    two_thirds = (fit.x[-1] - fit.x[0]) * 2 / 3
    rise = (fit.y[-1] / fit.y[0]) ** (two_thirds / (fit.x[-1] - fit.x[0])) - 1
    assert rise == pytest.approx(fit.trend.value)
    limit = (fit.limit_y[-1] / fit.limit_y[0]) ** (2 / 3) - 1
    assert limit == pytest.approx(0.5) and fit.limit_y[0] == fit.y[0]
    assert (fit.y[-1] > fit.limit_y[-1]) is bool(drift(points, "ttft", 0.5))
    middle = points[300]
    assert fit.y[12] == pytest.approx(math.exp(math.log1p(share) * 0.75), rel=0.1), middle


def test_a_fit_is_stored_as_plain_numbers() -> None:
    fit = growth_fit(REQUESTS, memory(1.0), 64)
    assert fit is not None
    assert fit.row["value"] == fit.trend.value and fit.row["limit"] == 64 and fit.row["unit"] == "KB a request"
    assert fit.row["y"] == [round(value, 6) for value in fit.y]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_cannot_be_judged_has_no_line(odd: float) -> None:
    assert growth_fit(REQUESTS, [odd, *memory(0)[1:]], 64) is None and drift_fit([*times(0), (60.0, odd)], 0.5) is None
    assert growth_fit(REQUESTS[:5], [1.0] * 5, 64) is None and drift_fit(times(0)[:9], 0.5) is None
    assert growth_fit([1.0] * 40, [1.0] * 40, 64) is None and drift_fit([(1.0, 1.0)] * 60, 0.5) is None
