"""Whether one part of a random partition scores unlike the others: exact by permutation.

Questions are shared out among parts at random. If all parts answer alike, the scores of a part are drawn without
replacement out of all scores, however much the questions differ and depend on each other. p values are two-sided and
allow for the number of parts: a sound night has any p of `alpha` or less with a probability of at most `alpha`.

A very bad part makes the others look good: of three or more parts the one with the least p is the one that differs. Two
parts cannot be told apart. Both have the same p, which says that they differ, and none may be named as the faulty one.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

from vlm_acceptance.stats.means import possible_drop

_NORMAL = NormalDist()
_BEYOND = 20  # random partitions as extreme as the observed one, after which a p is known well enough
_PARTITIONS = 1_999  # at most: the least p is 0.0005
_ROUNDING = 1e-9
_NEGLIGIBLE = 1e-18  # of the sum so far; the terms fall faster than geometrically


def hypergeometric_at_most(count: int, draws: int, right: int, total: int) -> float:
    """P(X <= count) of the right ones among `draws` of `total` without replacement, of which `right` are right."""
    least, most = max(0, draws + right - total), min(draws, right)
    if count < least:
        return 0.0
    if count >= most:
        return 1.0
    if count > draws * right / total:  # the smaller tail is summed, so that small values are exact too
        return 1 - hypergeometric_at_most(draws - count - 1, draws, total - right, total)
    term = math.exp(_ways(right, count) + _ways(total - right, draws - count) - _ways(total, draws))
    result = 0.0
    while count >= least and term > result * _NEGLIGIBLE:
        result += term
        term *= count * (total - right - draws + count) / ((right - count + 1) * (draws - count + 1))
        count -= 1
    return result


def unlike_counts(parts: Sequence[tuple[int, int]]) -> list[float]:
    """p of each part, from pairs (right, answered), that it is right more or less often than the others; exact.

    Multiplied by the number of parts (Bonferroni).
    """
    right, total = sum(count for count, _ in parts), sum(size for _, size in parts)
    if any(not 0 <= count <= size for count, size in parts):
        raise ValueError("more right answers than answers")
    found = []
    for count, size in parts:
        lower = hypergeometric_at_most(count, size, right, total) if total else 1.0
        upper = hypergeometric_at_most(size - count, size, total - right, total) if total else 1.0
        found.append(min(1.0, 2 * len(parts) * min(lower, upper)))
    # what one of two parts has less the other has more; not even rounding may name one of them
    return [max(found)] * 2 if len(found) == 2 else found


def unlike_scores(parts: Sequence[Sequence[float]], seed: int = 0) -> list[float]:
    """The same from the scores of each part, by seeded random partitions (Besag and Clifford's valid sequential p).

    A part is compared with the part that deviates most in each partition, which allows for the number of parts
    (Westfall and Young's maxT). The least p is 0.0005.
    """
    scores = [score for part in parts for score in part]
    if all(score in (0, 1) for score in scores):
        return unlike_counts([(round(sum(part)), len(part)) for part in parts])
    # only the scores that differ from the most common one are moved
    common = Counter(scores).most_common(1)[0][0]
    others = [score - common for score in scores if score != common]
    mean, weights = math.fsum(others) / len(scores), _weights([len(part) for part in parts])

    def deviations(sums: Iterable[float]) -> list[float]:
        centred = zip(sums, weights, parts, strict=True)
        return [weight * abs(total - len(part) * mean) for total, weight, part in centred]

    observed = deviations(math.fsum(score - common for score in part) for part in parts)
    owners = [number for number, part in enumerate(parts) for _ in part]
    chance = random.Random(f"{seed} {len(scores)} {len(parts)}")  # noqa: S311  nothing is kept secret by it

    def largest() -> float:
        sums = [0.0] * len(parts)
        for place, other in zip(chance.sample(range(len(scores)), len(others)), others, strict=True):
            sums[owners[place]] += other
        return max(deviations(sums))

    found = _sequential([one - _ROUNDING for one in observed], largest)
    return [max(found)] * 2 if len(found) == 2 else found


def _weights(sizes: Sequence[int]) -> list[float]:
    """What makes deviations of sums comparable between parts of unlike size: in proportion to 1 / their deviation.

    0 for a part that holds nothing or everything.
    """
    total = sum(sizes)
    return [1 / math.sqrt(size * (total - size) / total) if 0 < size < total else 0.0 for size in sizes]


def _sequential(observed: Sequence[float], draw: Callable[[], float]) -> list[float]:
    """p of each observed value among random ones, which are drawn until enough were as large as each of them.

    What is drawn after enough for one value could not make its p small.
    """
    found: dict[int, float] = {}
    beyond = [0] * len(observed)
    for number in range(1, _PARTITIONS + 1):
        drawn = draw()
        for part, value in enumerate(observed):
            if part not in found:
                beyond[part] += drawn >= value
                if beyond[part] == _BEYOND:
                    found[part] = _BEYOND / number
        if len(found) == len(observed):
            break
    return [found.get(part, (count + 1) / (_PARTITIONS + 1)) for part, count in enumerate(beyond)]


def detectable_part_drop(deviation: float, parts: int, size: int, alpha: float, power: float = 0.8) -> float:
    """The smallest drop of the mean in one of `parts` parts of `size` scores that is found with this power.

    `deviation` is the standard deviation of a score, the larger one of before and after the drop; `alpha` is the error
    of naming any part. Normal approximation. inf where no drop can be found, or all scores are equal.
    """
    return possible_drop(_drop_of_one(deviation, parts, alpha, power) / math.sqrt(size)) if size > 0 else math.inf


def needed_part_size(drop: float, deviation: float, parts: int, alpha: float, power: float = 0.8) -> int:
    """How many scores each part needs, for a drop of one part to be found with this power. Normal approximation.

    ValueError for a drop outside 0..1 or a deviation that is not above 0, and for fewer than two parts.
    """
    if not 0 < drop <= 1:
        raise ValueError(f"a drop of {drop} is not above 0 and at most 1")
    if not 0 < deviation < math.inf:
        raise ValueError(f"a deviation of {deviation} is not above 0")
    if parts < 2:
        raise ValueError(f"{parts} parts cannot be compared: there must be two or more")
    return math.ceil((_drop_of_one(deviation, parts, alpha, power) / drop) ** 2)


def _drop_of_one(deviation: float, parts: int, alpha: float, power: float) -> float:
    """The drop that would be found in parts of one score each; above 1 as a rule."""
    if parts < 2:
        return math.inf
    z = _NORMAL.inv_cdf(1 - alpha / (2 * parts)) + _NORMAL.inv_cdf(power)
    return z * deviation * math.sqrt(parts / (parts - 1))


def _ways(total: int, count: int) -> float:
    """The logarithm of the number of choices."""
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
