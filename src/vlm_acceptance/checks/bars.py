"""The bar of a question: what the profile demands, lowered to what its model reached when it was calibrated."""

from __future__ import annotations

from vlm_acceptance.stats.binomial import lower_limit

# of 100 right answers, another run of the same deployment gets two wrong: rounding decides between near candidates
KEPT, OF = 98, 100
# highest probability that a deployment as right as the recorded one falls below its bar
MISSED = 0.001


def bar(min_correct: int, recorded: int | None) -> int:
    """The least number of right answers: `min_correct`, or less where the calibration recorded too few for that.

    Of the `recorded` right answers each is kept with a probability of 98 %; the bar is the exact binomial limit.
    """
    return min_correct if recorded is None else min(min_correct, lower_limit(KEPT, OF, recorded, MISSED))
