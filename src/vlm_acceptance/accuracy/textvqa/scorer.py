"""VQA accuracy of TextVQA: ten people answered, and an answer is right by how many of them gave it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from vlm_acceptance.accuracy.item import Item, Score, Scorer
from vlm_acceptance.accuracy.short_answers import graded, one_by_one
from vlm_acceptance.accuracy.textvqa.contractions import CONTRACTIONS
from vlm_acceptance.core.errors import EnvironmentProblem

GOLDS: Final = 10
# The mean of min(others who gave the answer / 3, 1) over the ten who may be left out. The original adds thirds, and its
# sum is off by the last bit.
_PARTS: Final = (0.0, 0.3, 0.6, 0.9, 1.0)
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_PERIOD_BESIDE_NO_DIGIT = re.compile(r"(?<!\d)\.(?!\d)")
# both originals give re.UNICODE, which is 32, where sub() takes the largest number of replacements
_MOST_PERIODS = 32
_NUMBERS = {
    **{"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"},
    **{"seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
_ARTICLES = frozenset({"a", "an", "the"})


def vqa_internvl(item: Item, answer: str) -> Score:
    """InternVL's textvqa_eval.py, by which the published figure was measured."""
    return _agreement(item, answer, _processed_internvl)


def vqa_vlmevalkit(item: Item, answer: str) -> Score:
    """VLMEvalKit's vqa_eval.py: a possessive is no word of its own, `5.` is not `5`."""
    return _agreement(item, answer, _processed_vlmevalkit)


def _agreement(item: Item, answer: str, process: Callable[[str], str]) -> Score:
    """0, 0.3, 0.6, 0.9 or 1 for an answer that 0, 1, 2, 3 or more people gave; EnvironmentProblem unless ten did."""
    if len(item.gold) != GOLDS:
        raise EnvironmentProblem(
            f"question {item.id} has {len(item.gold)} answers instead of {GOLDS}: prepare the data again"
        )
    read = process(answer)
    agreeing = sum(people for gold, people in Counter(item.gold).items() if process(gold) == read)
    return graded(_PARTS[min(agreeing, len(_PARTS) - 1)], read)


def _processed_internvl(text: str) -> str:
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    return _words(_PERIOD.sub("", text, count=_MOST_PERIODS))


def _processed_vlmevalkit(text: str) -> str:
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    return _words(_PERIOD_BESIDE_NO_DIGIT.sub("", text, count=_MOST_PERIODS))


def _without_punctuation(text: str) -> str:
    """Each mark is deleted everywhere if it is beside a blank anywhere, or if a number has a comma; else a blank."""
    number_has_comma = _DIGIT_COMMA_DIGIT.search(text) is not None
    processed = text
    for mark in _PUNCTUATION:
        # whether a mark is beside a blank is asked of the text before any was replaced
        deleted = number_has_comma or f"{mark} " in text or f" {mark}" in text
        processed = processed.replace(mark, "" if deleted else " ")
    return processed


def _words(text: str) -> str:
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


SCORERS: dict[str, Scorer] = {
    "vqa_internvl": one_by_one(vqa_internvl),
    "vqa_vlmevalkit": one_by_one(vqa_vlmevalkit),
}
