"""Exact statements about quantiles of times, from how many values lie on one side: no distribution is assumed."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_acceptance.stats.binomial import at_least, at_most


def is_above(beyond: int, total: int, quantile: float, alpha: float) -> bool:
    """Whether the quantile lies above a limit that `beyond` of `total` values exceed, with an error below `alpha`."""
    return total > 0 and at_least(beyond, total, 1 - quantile) < alpha


def median_interval(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Lower and upper limit of the median, each with an error of at most `alpha`.

    With too few values for this error, the limits are infinite.
    """
    ordered = sorted(values)
    # so many values at each end leave the median between them
    cut = 0
    while cut <= len(ordered) // 2 and at_most(cut, len(ordered), 0.5) <= alpha:
        cut += 1
    if not cut:
        return float("-inf"), float("inf")
    return ordered[cut - 1], ordered[-cut]
