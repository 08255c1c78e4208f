"""Relaxed accuracy of ChartQA (arXiv 2203.10244, section 5.1): numbers within 5 %, other answers equal."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from vlm_acceptance.accuracy.item import Item, Score, Scorer
from vlm_acceptance.accuracy.short_answers import one_by_one, right_or_wrong

_TOLERANCE = 0.05


def relaxed_internvl(item: Item, answer: str) -> Score:
    """InternVL's evaluate_vqa.py, by which the published figures were measured: the answer is the reference value.

    It gives the two arguments in the wrong order. A gold of 100 accepts 95.3 to 105.2, and refuses 95.
    """
    return right_or_wrong(any(_is_close(gold, answer) for gold in item.gold), answer)


def relaxed_gold(item: Item, answer: str) -> Score:
    """VLMEvalKit's vqa_eval.py since September 2025: the gold is the reference value. 100 accepts 95 to 105."""
    return right_or_wrong(any(_is_close(answer, gold) for gold in _listed(item.gold)), answer)


def _is_close(value: str, reference: str) -> bool:
    """Whether two numbers differ by at most 5 % of the reference; other texts, or a reference of 0, must be equal."""
    number, base = _number(value), _number(reference)
    if number is None or not base:
        return value.lower() == reference.lower()
    return abs(number - base) / abs(base) <= _TOLERANCE


def _number(text: str) -> float | None:
    """The number that Python's float() reads, a percentage as its hundredth; None if there is none."""
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _listed(golds: Sequence[str]) -> Sequence[str]:
    """The elements of a gold that is written as a Python list, such as `[2013, 2014]`; other golds as they are."""
    if len(golds) != 1 or not golds[0].lstrip(" \t").startswith("["):
        return golds
    try:
        # the original evaluates the text as code; only literals are read here
        listed = ast.literal_eval(golds[0])
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return golds
    return [str(element) for element in listed] if isinstance(listed, list) else golds


SCORERS: dict[str, Scorer] = {
    "relaxed_internvl": one_by_one(relaxed_internvl),
    "relaxed_gold": one_by_one(relaxed_gold),
}
