"""VLMEvalKit's matching rules without a judge model: an answer that does not match exactly one option is
unresolved.

An open question is a choice between its gold answer and "Other Answers".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vlm_acceptance.accuracy.item import CHOICE, DECLINED, LETTERS, UNRESOLVED, Item, Score

_NO_ANSWER = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_DECLINED = "Z"
_TO_SPACES = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_STATED = re.compile(r"answer\s+is\s+\**([A-D])", re.IGNORECASE)
_LAST_WORDS = 4

# (answer, options) -> the letter that the answer names, `Z` if it declines, '' if it names no option
Infer = Callable[[str, Mapping[str, str]], str]


def july_2024(item: Item, answer: str) -> Score:
    """The rules in force when 36.3 % was published."""
    return _score(item, answer, _infer_july_2024)


def head(item: Item, answer: str) -> Score:
    """The rules of 2026: a letter counts only among the last four words, and option texts not in long answers."""
    return _score(item, answer, _infer_head)


def _score(item: Item, answer: str, infer: Infer) -> Score:
    choices, target = _choices(item)
    letter = infer(answer, choices)
    if not letter:
        return Score(False, "", UNRESOLVED)
    if letter == _DECLINED:
        return Score(False, letter, DECLINED)
    return Score(letter == target, letter)


def _choices(item: Item) -> tuple[dict[str, str], str]:
    if item.kind == CHOICE:
        return dict(zip(LETTERS, item.options, strict=False)), item.gold[0]
    # its table has several golds in one cell, as the text of a Python list
    gold = item.gold[0] if len(item.gold) == 1 else str(list(item.gold))
    # as in the original: a gold that is one capital letter is taken for the letter of an option
    return {"A": gold, "B": "Other Answers"}, gold if gold in set(LETTERS) else "A"


def _infer_july_2024(answer: str, choices: Mapping[str, str]) -> str:
    if _NO_ANSWER not in answer:
        if _refuses(answer):
            return _DECLINED
        words = answer.translate(_TO_SPACES).split()
        named = [letter for letter in choices if letter in words]
        if len(named) == 1:
            return named[0]
        if not named and _DECLINED in words:
            return _DECLINED
    return _by_text(answer, choices)


def _infer_head(answer: str, choices: Mapping[str, str]) -> str:
    if _NO_ANSWER not in answer:
        if _refuses(answer):
            return _DECLINED
        words = answer.translate(_TO_SPACES).split()
        named = [letter for letter in choices if letter in words]
        # the first place of the letter counts
        if len(named) == 1 and words.index(named[0]) >= len(words) - _LAST_WORDS:
            return named[0]
        if not named and _DECLINED in words:
            return _DECLINED
        stated = _STATED.search(answer)
        if stated and stated[1].upper() in choices:
            return stated[1].upper()
    if len(answer.lower()) > 2 * sum(map(len, choices.values())):
        return ""
    return _by_text(answer, choices)


def _refuses(answer: str) -> bool:
    return any(refusal in answer for refusal in _REFUSALS)


def _by_text(answer: str, choices: Mapping[str, str]) -> str:
    lowered = answer.lower()
    named = [letter for letter, text in choices.items() if text.lower() in lowered]
    return named[0] if len(named) == 1 else ""
