"""One-sided limits for means of scores in 0..1, where groups of scores may depend on each other.

Scores of 0 and 1 have exact limits (`binomial`); those of several strata with known shares are exact here, too. For
other scores the limit rests on how much the groups differ, as in a survey by clusters: no distribution is assumed, and
the error is that of Student's t at hundreds of groups. `alpha` is a one-sided error.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist

from vlm_acceptance.stats.binomial import probability
from vlm_acceptance.stats.regression import t_quantile

_NORMAL = NormalDist()
_ROUNDING = 1e-9  # sums of thousands of tenths are off by less
_NEGLIGIBLE = 1e-15  # a probability that no limit can depend on


@dataclass(frozen=True, slots=True)
class Sample:
    """What a limit needs of `n` scores in `groups` groups: their mean, its standard error, the skewness of the groups.

    The error is nan with fewer than two groups.
    """

    n: int
    groups: int
    mean: float
    error: float
    skewness: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part with a known share: `n` answers, each right with the probability `right` / `total`."""

    right: int
    total: int
    n: int


def sample_of(scores: Iterable[tuple[Hashable, float]]) -> Sample:
    """The sample of pairs (group, score); a group of its own for each score if they are independent."""
    sums: dict[Hashable, float] = defaultdict(float)
    sizes: dict[Hashable, int] = defaultdict(int)
    for group, score in scores:
        if not 0 <= score <= 1:
            raise ValueError(f"a score of {score} is not in 0..1")
        sums[group] += score
        sizes[group] += 1
    return sample_of_sums(list(sums.values()), list(sizes.values()))


def sample_of_sums(sums: Sequence[float], sizes: Sequence[int]) -> Sample:
    """The same from the sum and the number of scores of each group; there must be one."""
    n, groups = sum(sizes), len(sums)
    if not n:
        raise ValueError("a mean needs at least one score")
    mean = math.fsum(sums) / n
    left = [total - size * mean for total, size in zip(sums, sizes, strict=True)]
    squares = math.fsum(value * value for value in left)
    # of equal scores only rounding is left
    if squares <= _ROUNDING**2 * n:
        return Sample(n, groups, mean, 0.0 if groups > 1 else math.nan, 0.0)
    cubes = math.fsum(value**3 for value in left)
    error = math.sqrt(squares * groups / (groups - 1)) / n if groups > 1 else math.nan
    return Sample(n, groups, mean, error, cubes / groups / (squares / groups) ** 1.5)


def lower_mean(mean: float, sample: Sample, alpha: float) -> float:
    """The lowest mean of the sample that is accepted, where `mean` is the true one, inside 0..1.

    Where samples of a low mean vary less than those of the true one, as rare hits do, the error is that at the true
    mean. Skewness to the right lowers the limit, too (Johnson's correction of t). With 10 like
    questions a picture an `alpha` of 0.05 holds from 15 pictures with hits on; with 30 questions, from 30.
    """
    # Simulated with a correlation of 0.5 inside pictures of 10 questions: an `alpha` of 0.05 holds from 15 pictures
    # with hits on, one of 0.0067 from 20; with 6 such pictures (50 in all, mean 0.03) 20 % of sound runs were refused.
    # Pictures of 30 questions need 30 with hits for 0.05, and more for 0.0067.
    return mean - _errors(sample, alpha, sample.skewness) * _error_at(mean, sample)


def _error_at(mean: float, sample: Sample) -> float:
    """The standard error of the sample, or if that is greater the one at another mean with the same design effect."""
    variance = mean * (1 - mean)
    if sample.error == 0:  # no group differs, so the design effect is unknown: at worst a group counts as one score
        return math.sqrt(variance / sample.groups)
    return sample.error * math.sqrt(max(1.0, variance / (sample.mean * (1 - sample.mean))))


def t_limit(sample: Sample, alpha: float) -> float:
    """A lower limit of the true mean; skewness to the left lowers it."""
    return sample.mean - _errors(sample, alpha, -sample.skewness) * sample.error


def is_reached(mean: float, limit: float) -> bool:
    """Whether a mean is not below a limit, apart from rounding."""
    return mean >= limit - _ROUNDING


def detectable_mean_drop(sample: Sample, alpha: float, power: float = 0.8) -> float:
    """The smallest true drop of the mean that `lower_mean` refuses with this power, by the normal approximation.

    inf where no drop can be found, or none can be computed because no group differs.
    """
    return possible_drop((_NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)) * sample.error)


def possible_drop(drop: float) -> float:
    """A computed drop of a mean of scores in 0..1; inf where it is above 1, and where 0 or nan says that none was."""
    return drop if 0 < drop <= 1 else math.inf


def _errors(sample: Sample, alpha: float, skewness: float) -> float:
    """The number of standard errors between a mean and its limit."""
    if not sample.groups > 1:
        raise ValueError("a limit needs at least two groups")
    t = _t_quantile(1 - alpha, sample.groups - 1)
    return t + max(0.0, skewness) * (2 * t * t + 1) / (6 * math.sqrt(sample.groups))


def strata_limit(strata: Sequence[Stratum], alpha: float) -> int:
    """The fewest right answers in all strata together that are accepted; exact.

    A sound model has fewer with a probability of at most `alpha`.
    """
    # the limit is in 0..n, because the tails end in 1
    return next(count for count, tail in enumerate(_tails(strata)) if tail > alpha)


def strata_at_most(count: int, strata: Sequence[Stratum]) -> float:
    """P(X <= count) of the right answers in all strata together."""
    tails = _tails(strata)
    return 0.0 if count < 0 else tails[min(count, len(tails) - 1)]


def detectable_strata_drop(strata: Sequence[Stratum], limit: int, power: float = 0.8) -> float:
    """The smallest drop of every stratum's share that `limit` refuses with this power, by the normal approximation.

    inf where no drop can be found; not above 0 where the limit refuses so many sound runs, too.
    """
    n = sum(part.n for part in strata)
    if not (n and limit > 0):
        return math.inf
    shares = [(part.n, _share(part)) for part in strata]
    spread = math.sqrt(sum(count * share * (1 - share) for count, share in shares))
    # half a count: a total below the limit is at most limit - 1
    drop = sum(count * share for count, share in shares) - limit + 0.5 + _NORMAL.inv_cdf(power) * spread
    return drop / n if drop <= n else math.inf


def _tails(strata: Sequence[Stratum]) -> list[float]:
    """P(X <= count) for every count from 0 to that of all answers."""
    chances = [1.0]
    for part in strata:
        share = _share(part)
        chances = _convolved(chances, [probability(count, part.n, share) for count in range(part.n + 1)])
    tails = list(accumulate(chances))
    tails[-1] = 1.0
    return tails


def _share(part: Stratum) -> float:
    if not 0 <= part.right <= part.total or part.total == 0:
        raise ValueError(f"{part.right} of {part.total} is not a share")
    return part.right / part.total


def _convolved(first: Sequence[float], second: Sequence[float]) -> list[float]:
    sums = [0.0] * (len(first) + len(second) - 1)
    kept = [(place, chance) for place, chance in enumerate(second) if chance > _NEGLIGIBLE]
    for start, weight in enumerate(first):
        if weight > _NEGLIGIBLE:
            for place, chance in kept:
                sums[start + place] += weight * chance
    return sums


@lru_cache(maxsize=100)
def _t_quantile(share: float, df: int) -> float:
    """Student's quantile; with thousands of groups the normal one, by Cornish and Fisher's expansion in 1/df."""
    if df < 200:
        return t_quantile(share, df)
    z = _NORMAL.inv_cdf(share)
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df * df)
