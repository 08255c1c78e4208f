"""One error for several tests: how a total error is split so that a sound subject fails any test no more often.

By the sum of the parts (Bonferroni), which holds however the tests depend on each other: the answers of one deployment
to several data sets do. Šidák's split, for independent tests, would give 0.02532 instead of 0.025 to each of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FAMILY_ALPHA = 0.05
# Beside the main test of a member: a fifth of its part and at most this is kept for the others, which look for grave
# faults and need little error.
_RESERVE, _MOST_RESERVE = 0.2, 0.005
# how the reserve is split; `stuck` is the early stop for one answer to many questions
_EARLY, _STUCK, _UPPER = 0.6, 0.2, 0.2


@dataclass(frozen=True, slots=True)
class Errors:
    """The error of each test of one member: lower limit, early stops by score and by repetition, upper limit."""

    lower: float
    early: float
    stuck: float
    upper: float

    @property
    def total(self) -> float:
        return self.lower + self.early + self.stuck + self.upper


def parts(weights: Mapping[str, float], total: float = FAMILY_ALPHA) -> dict[str, float]:
    """The part of the total error of each member, in proportion to its weight; one with a weight of 0 is left out.

    ValueError for a weight that is negative or not finite, and for weights without a sum.
    """
    whole = sum(weights.values())
    if not 0 < total < 1:
        raise ValueError(f"a total error of {total} is not between 0 and 1")
    if not 0 < whole < math.inf or min(weights.values()) < 0:
        raise ValueError("weights must be finite and not negative, and one must be positive")
    return {name: total * weight / whole for name, weight in weights.items() if weight}


def errors_of(part: float) -> Errors:
    """The part of one member, split among its tests: 0.025 becomes 0.02, 0.003, 0.001 and 0.001."""
    if not 0 < part < 1:
        raise ValueError(f"an error of {part} is not between 0 and 1")
    reserve = min(_RESERVE * part, _MOST_RESERVE)
    return Errors(part - reserve, _EARLY * reserve, _STUCK * reserve, _UPPER * reserve)
