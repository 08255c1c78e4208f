"""The bar of a question: what the profile demands, lowered to what its model reached when it was calibrated.

And what no calibration may lower a bar to, because the same run shows that the deployment can do better.
"""

from __future__ import annotations

from collections.abc import Mapping

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.stats.binomial import lower_limit, predicted_limit

# of 100 right answers, another run of the same deployment gets two wrong: rounding decides between near candidates
KEPT, OF = 98, 100
# highest probability that a deployment as right as the recorded one falls below its bar
MISSED = 0.001
PICTURES = 8
# of eight questions that are drawn anew: a model that answers 98 of 100 right is below once in 2,000 runs
NEW = 6
# so many right answers fewer in large form: not chance, and the model can read the words
LARGE_LOSS = 5
# a category is recorded if one of its questions has so many right answers
FEWEST_RECORDED = 3
# two ways to ask one question of one deployment do not differ by so many right answers by chance
UNLIKE = 4


def bar(min_correct: int, recorded: int | None, pictures: int = PICTURES) -> int:
    """The least number of right answers: `min_correct` of eight, or less where the calibration recorded too few.

    Of the `recorded` right answers each is kept with a probability of 98 %; the bar is the exact binomial limit.
    """
    least = -(-min_correct * pictures // PICTURES)
    return least if recorded is None else min(least, lower_limit(KEPT, OF, recorded, MISSED))


def bar_of_new(min_correct: int, recorded: int | None) -> int:
    """The bar of eight questions that are drawn anew for each run.

    It leaves room for chance even where all stored questions must be answered right. A calibration saw other questions:
    the bar is what the same deployment misses with a probability of MISSED, by what is known of it.
    """
    usual = min(min_correct, NEW)
    return usual if recorded is None else min(usual, predicted_limit(recorded, PICTURES, PICTURES, MISSED))


def read_in_large_form(question: str, small: int | None, large: int) -> list[Finding]:
    """Large forms of the same pictures, which show the same words, are not read much worse than the small ones."""
    if small is None or small - large < LARGE_LOSS:
        return []
    expected = f"more than {small - LARGE_LOSS} right: the large form of the same pictures shows the same words"
    seen = f"{small} of {PICTURES} small pictures right, and {large} of {PICTURES} in large form"
    return [Finding(kinds.ANSWER_LARGE, expected, seen, question)]


def unlike(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """The two tests, highest count first, that differ in the right answers to one question as no chance explains."""
    if not counts:
        return None
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    return (most, least) if counts[most] - counts[least] >= UNLIKE else None
