"""OCRBench: an answer is right if it contains one of the golds (arXiv 2305.07895)."""

from __future__ import annotations

from typing import Final

from vlm_acceptance.accuracy.item import Item, Score, Scorer
from vlm_acceptance.accuracy.short_answers import one_by_one, right_or_wrong

# the group of handwritten formulas: the data set that all of them are from
FORMULAS: Final = "HME100k"


def containment(item: Item, answer: str) -> Score:
    """The rule of OCRBench and of VLMEvalKit, unchanged since 2024: without capitals, a line feed as a blank.

    In handwritten formulas capitals count and blanks do not.
    """
    plain = _formula if item.group == FORMULAS else _phrase
    read = plain(answer)
    return right_or_wrong(any(plain(gold) in read for gold in item.gold), read)


def _phrase(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _formula(text: str) -> str:
    # other white space within a formula stays, as in the original
    return text.strip().replace("\n", " ").replace(" ", "")


SCORERS: dict[str, Scorer] = {"containment": one_by_one(containment)}
