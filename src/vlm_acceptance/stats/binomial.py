"""Exact limits, intervals and tests for counts of right answers. Shares are 0..1; `alpha` is a one-sided error.

Two runs over the same questions are compared question by question: `lost` is the number of questions that only the
earlier run has right, `gained` that of questions that only the later run has right.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from statistics import NormalDist

_NORMAL = NormalDist()
_BISECTIONS = 60  # halves an interval of length 2 to less than 1e-17
_NEGLIGIBLE = 1e-18  # of the sum so far; a tail's later terms fall faster than geometrically


def standard_error(right: int, total: int) -> float:
    """Standard error of the share of right answers among independent questions."""
    _require_counts(right, total)
    return math.sqrt(right * (total - right) / total) / total if total else math.nan


def wilson(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's two-sided score interval of a share; (0, 1) for no questions."""
    _require_counts(right, total)
    if total == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / total / 4) / (1 + spread)
    # at the ends the interval touches 0 or 1 exactly; rounding must not move it
    return (0.0 if right == 0 else middle - half), (1.0 if right == total else middle + half)


def probability(count: int, n: int, share: float) -> float:
    """P(X = count) of a binomial X."""
    if not 0 <= count <= n:
        return 0.0
    if share in (0.0, 1.0):
        return float(count == n * share)
    ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return math.exp(ways + count * math.log(share) + (n - count) * math.log1p(-share))


def at_most(count: int, n: int, share: float) -> float:
    """P(X <= count) of a binomial X; the smaller tail is summed, so that small values are exact too."""
    if count < 0:
        return 0.0
    if count >= n:
        return 1.0
    return _lower_tail(count, n, share) if count < n * share else 1 - _lower_tail(n - count - 1, n, 1 - share)


def at_least(count: int, n: int, share: float) -> float:
    """P(X >= count) of a binomial X."""
    return at_most(n - count, n, 1 - share)


def lower_limit(right: int, total: int, n: int, alpha: float) -> int:
    """The fewest right answers of `n` that are accepted, where `right` of `total` is the true share.

    A sound model has fewer with a probability of at most `alpha`.
    """
    share = _share(right, total)
    # the limit is in 0..n, because P(X <= n) = 1
    return bisect_left(range(n), True, key=lambda count: at_most(count, n, share) > alpha)


def upper_limit(right: int, total: int, n: int, alpha: float) -> int:
    """The most right answers of `n` that are accepted, where `right` of `total` is the true share.

    A sound model has more with a probability of at most `alpha`.
    """
    return n - lower_limit(total - right, total, n, alpha)


def predicted_limit(right: int, total: int, n: int, alpha: float) -> int:
    """The fewest right answers to `n` other questions that are accepted after `right` of `total`.

    The same model has fewer with a probability of at most `alpha`: beta-binomial, with Jeffreys' prior of its share.
    """
    _require_counts(right, total)
    a, b = right + 0.5, total - right + 0.5

    def exactly(count: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
        return math.exp(ways + _log_beta(a + count, b + n - count) - _log_beta(a, b))

    fewer, limit = 0.0, 0
    while limit < n and (fewer := fewer + exactly(limit)) <= alpha:
        limit += 1
    return limit


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def detectable_drop(right: int, total: int, n: int, limit: int, power: float = 0.8) -> float:
    """The smallest true drop (a share) that `limit` of `n` refuses with this power; infinite for a limit of 0."""
    share = _share(right, total)
    return bisected(0, share, lambda drop: at_most(limit - 1, n, share - drop) < power)[1] if limit else math.inf


def mcnemar(lost: int, gained: int) -> float:
    """Exact one-sided p: the probability of `lost` or more losses if losses and gains are equally likely."""
    _require_counts(lost, lost + gained)
    return at_least(lost, lost + gained, 0.5)


def paired_difference(total: int, lost: int, gained: int, confidence: float = 0.95) -> tuple[float, float]:
    """Tango's two-sided score interval of (gained - lost) / total; (-1, 1) for no questions."""
    _require_counts(lost + gained, total)
    if total == 0:
        return -1.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)

    def difference_at(z: float) -> float:  # Tango's statistic falls as the difference grows
        return sum(bisected(-1, 1, lambda difference: _tango(difference, total, lost, gained) > z)) / 2

    return difference_at(z), difference_at(-z)


def non_inferior(total: int, lost: int, gained: int, margin: float, alpha: float) -> bool:
    """Whether a drop of `margin` (a share) or more is ruled out with an error of at most `alpha`."""
    return paired_difference(total, lost, gained, 1 - 2 * alpha)[0] > -margin


def paired_detectable_drop(total: int, discordant_share: float, alpha: float, power: float = 0.8) -> float:
    """The smallest true drop (a share) that a paired comparison finds with this power.

    `discordant_share` of the questions are right in one run only. By the normal approximation: at 900 questions the
    exact test needs up to a twentieth more.
    """
    z = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    return z * math.sqrt(discordant_share / total)


def _lower_tail(count: int, n: int, share: float) -> float:
    """P(X <= count) for a count below the mean, summed downwards from its largest term."""
    term = probability(count, n, share)
    result, odds = 0.0, (1 - share) / share
    while term > result * _NEGLIGIBLE:
        result += term
        term *= count / (n - count + 1) * odds
        count -= 1
    return result


def bisected(low: float, high: float, is_below: Callable[[float], bool]) -> tuple[float, float]:
    """The two numbers in low..high, next to each other, between which `is_below` turns from true to false."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low, high


def _tango(difference: float, total: int, lost: int, gained: int) -> float:
    """The score statistic of the counts where the true difference is `difference`, inside (-1, 1).

    The share of lost questions is the most likely one under that difference: the root of a quadratic equation.
    """
    b = (2 * total - gained + lost) * difference - lost - gained
    c = -lost * difference * (1 - difference)
    lost_share = (math.sqrt(max(0.0, b * b - 8 * total * c)) - b) / (4 * total)  # rounding can make a zero negative
    variance = total * (2 * lost_share + difference * (1 - difference))
    distance = gained - lost - total * difference
    # no variance: the counts are certain or impossible
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _share(right: int, total: int) -> float:
    _require_counts(right, total)
    if total == 0:
        raise ValueError("a reference needs at least one question")
    return right / total


def _require_counts(part: int, whole: int) -> None:
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole} is not a count")
