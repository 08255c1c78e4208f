"""Slopes with intervals, compared with scipy, and their error rate on dependent figures."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from vlm_acceptance.stats.regression import block_means, dependence, slope, t_below, t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 11, 30, 200])
def test_students_t_agrees_with_scipy(df: int) -> None:
    t = pytest.importorskip("scipy.stats").t
    for share in (0.001, 0.05, 0.3, 0.5, 0.6, 0.9, 0.975, 0.995, 0.9999):
        assert t_quantile(share, df) == pytest.approx(t.ppf(share, df), rel=1e-8, abs=1e-8)
    for point in (-30.0, -2.0, 0.0, 0.5, 3.0):
        assert t_below(point, df) == pytest.approx(t.cdf(point, df), abs=1e-12)


@pytest.mark.parametrize(("share", "df"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_an_impossible_quantile_is_refused(share: float, df: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        t_quantile(share, df)


def test_blocks_share_all_values() -> None:
    assert block_means([1, 2, 3, 4, 5], 2) == [1.5, 4]
    assert fmean(block_means(range(12), 4)) == fmean(range(12))


def test_a_line_without_blocks_agrees_with_scipy() -> None:
    linregress = pytest.importorskip("scipy.stats").linregress
    draw = random.Random(3)
    xs = [float(x) for x in range(12)]
    ys = [0.5 * x + (-1) ** int(x) + draw.gauss(0, 0.1) for x in xs]  # residuals alternate
    line, theirs = slope(xs, ys, confidence=0.95), linregress(xs, ys)
    assert line is not None
    assert line.value == pytest.approx(theirs.slope)
    assert line.high - line.value == pytest.approx(t_quantile(0.975, 10) * theirs.stderr)


def test_too_few_samples_or_a_constant_x_give_no_line() -> None:
    assert slope([1, 2, 3], [1, 2, 3]) is None
    assert slope([5] * 20, list(range(20))) is None


def test_similar_neighbouring_residuals_widen_the_interval() -> None:
    assert dependence([1, -1, 1, -1]) == 1
    assert dependence([0, 0, 0]) == 1
    assert dependence([3, 2, 1, -1, -2, -3]) > 1.5


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_dependent_figures_without_a_slope_rarely_have_one(memory: float) -> None:
    draw, wrong = random.Random(11), 0
    for _ in range(300):
        level, ys = 0.0, []
        for _ in range(240):
            level = memory * level + draw.gauss(0, 1)
            ys.append(level)
        line = slope(list(range(240)), ys)
        assert line is not None
        wrong += not line.low <= 0 <= line.high
    assert wrong <= 12  # 1 % by design; the dependence is only estimated
