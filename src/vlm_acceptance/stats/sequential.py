"""Early stops, which can only reject a run.

Answers are added in the order of asking, not of arrival: short answers arrive early, and may be right more or less
often. A question without an answer is added as right, so that it cannot cause a rejection, and as no letter.
"""

# Each stop holds bets against its null hypothesis. While the null holds no bet gains on average, so the sum of the
# bets, 1 at the start, ever reaches 1/alpha with a probability of at most alpha (Ville's inequality), however often
# the run is checked.

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from string import ascii_uppercase

# Shares of right answers and their weights: a model that guesses letters, and one without sensible answers.
GUESSER_AND_MUTE = ((0.247, 0.9), (0.05, 0.1))
STUCK_SHARE = 0.95
_ROUNDING = 1e-9  # of a sum of scores, relative to the number of questions


def alternatives_below(share: float) -> tuple[tuple[float, float], ...]:
    """Bets for scores whose limit is the mean `share`: a slight fault, a grave one, and no sensible answers."""
    return (0.85 * share, 0.4), (0.5 * share, 0.4), (0.05 * share, 0.2)


class ScoreStop:
    """Stops a run of `total` questions in random order that is very unlikely to reach a sum of scores of `limit`.

    Null hypothesis: the scores, each in 0..1, add up to `limit` or more in the whole run. `round_size` is the number of
    groups if each round holds one question of every group.
    """

    # Under the null the next score has a mean p >= b = (limit - sum so far) / questions left. A bet on a mean q < b
    # multiplies by q/b for a score of 1 and by (1-q)/(1-b) for a score of 0; scores between get the same weighted mean
    # of both. On average that is pq/b + (1-p)(1-q)/(1-b), whatever the scores, which is 1 at p = b and falls as p
    # grows. Where q >= b the bet pauses.
    #
    # In rounds b is renewed only between them. There p differs by group and averages b or more, so the product of a
    # round averages 1 or less: it is the product of 1 + c(b - p) over the groups, with a c > 0, and largest where all
    # p are equal. That proves alpha for looks between rounds of equal groups; looks inside a round, and groups of
    # unequal size, rest on enumeration and simulation.

    def __init__(
        self,
        limit: float,
        total: int,
        alpha: float,
        round_size: int = 1,
        alternatives: Sequence[tuple[float, float]] = GUESSER_AND_MUTE,
    ) -> None:
        _require_alpha(alpha)
        self.limit, self.total, self.alpha = limit, total, alpha
        self.asked = 0
        self.reached: float = 0  # the sum of the scores; a whole number if all are 0 or 1
        self._round_size, self._bound = round_size, 0.0
        self._tolerance = _ROUNDING * total
        self._bets: dict[float, float] = {}
        for share, weight in alternatives:  # shares may be equal, as those below a limit of 0 are
            self._bets[share] = self._bets.get(share, 0.0) + weight
        if not abs(self.statistic - 1) <= 1e-9:
            raise ValueError("the weights of the alternatives do not add up to 1")
        self.stopped = self.is_out_of_reach  # stays true: the run is rejected

    @property
    def statistic(self) -> float:
        """The sum of the bets; the run is stopped at 1/alpha."""
        return sum(self._bets.values())

    @property
    def right(self) -> int:
        """The sum of the scores, as a number of right answers: cut to a whole one."""
        return int(self.reached + self._tolerance)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the limit is missed even if every further answer is right."""
        return self.limit - self.reached > self.total - self.asked + self._tolerance

    def add(self, score: float) -> None:
        """Count the score of the next answer, in the order of asking. Answers after a stop change nothing."""
        if not 0 <= score <= 1:
            raise ValueError(f"a score of {score} is not in 0..1")
        if self.stopped:
            return
        if self.asked == self.total:
            raise ValueError(f"all {self.total} questions have been counted")
        if self.asked % self._round_size == 0:
            self._bound = (self.limit - self.reached) / (self.total - self.asked)
        self.asked += 1
        self.reached += score
        if self.is_out_of_reach:  # with a bound of 1 any score below does this
            self.stopped = True
            return
        if self._bound > 1 - _ROUNDING and 0 < score < 1:
            return  # the factor of a score just below 1 would be rounding
        for share in self._bets:
            if share < self._bound:
                self._bets[share] *= _factor(share, self._bound, score)
        self.stopped = self.statistic >= 1 / self.alpha

    def reason(self) -> str:
        """Why the run was stopped, in one line; '' while it is not."""
        if not self.stopped:
            return ""
        if isinstance(self.limit, int) and isinstance(self.reached, int):
            seen = f"{self.reached} of the first {self.asked} answers are right"
            if self.is_out_of_reach:
                return f"{seen}: {self.limit} of {self.total} can no longer be reached"
            return (
                f"{seen}: a run that gets {self.limit} or more of {self.total} right is stopped with a probability of "
                f"at most {100 * self.alpha:g} %"
            )
        seen = f"the first {self.asked} answers score {self.reached:.2f}"
        if self.is_out_of_reach:
            return f"{seen}: {self.limit:.2f} of {self.total} can no longer be reached"
        return (
            f"{seen}: a run that scores {self.limit:.2f} or more of {self.total} is stopped with a probability of at "
            f"most {100 * self.alpha:g} %"
        )


class LetterStop:
    """Stops a run that answers nearly every multiple-choice question with the same letter.

    Null hypothesis: after any answers, no letter is the next one with a probability above `limit_share`.
    """

    # The bets start equal, one for each letter: this letter is the answer to 95 % of the questions. No bet is made
    # where `limit_share` is as high as that.

    def __init__(self, limit_share: float = 0.6, alpha: float = 0.001) -> None:
        _require_alpha(alpha)
        self.limit_share, self.alpha = limit_share, alpha
        self.asked = 0
        self._seen: Counter[str] = Counter()
        self._bets = dict.fromkeys(ascii_uppercase, 1 / len(ascii_uppercase))
        self.stopped = False  # stays true: the run is rejected

    @property
    def statistic(self) -> float:
        return sum(self._bets.values())

    def add(self, letter: str) -> None:
        """Count the next multiple-choice answer, in the order of asking; other texts than one letter are no letter."""
        if self.stopped:
            return
        self.asked += 1
        self._seen[letter] += 1
        if self.limit_share >= STUCK_SHARE:
            return
        hit, miss = (_factor(STUCK_SHARE, self.limit_share, is_hit) for is_hit in (True, False))
        self._bets = {one: bet * (hit if one == letter else miss) for one, bet in self._bets.items()}
        self.stopped = self.statistic >= 1 / self.alpha

    def reason(self) -> str:
        """Why the run was stopped, in one line; '' while it is not."""
        if not self.stopped:
            return ""
        letter = max(self._bets, key=self._bets.__getitem__)
        return (
            f"{letter} answers {self._seen[letter]} of the first {self.asked} multiple-choice questions: a run with a "
            f"share of {100 * self.limit_share:g} % or less is stopped with a probability of at most "
            f"{100 * self.alpha:g} %"
        )


def _factor(share: float, bound: float, score: float) -> float:
    """The factor that one score gives a bet on a mean of `share` against `bound`; a hit scores 1, a miss 0."""
    hit = 0.0 if not score else score * share / bound if bound > 0 else math.inf  # with this bound there are no hits
    return hit + (1 - score) * (1 - share) / (1 - bound) if score < 1 else hit


def _require_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
