"""Scorers that score each answer by itself, and the scores of answers that are a word or a phrase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from vlm_acceptance.accuracy.item import UNRESOLVED, Item, Score, Scorer

NOTHING_READ: Final = Score(False, "", UNRESOLVED)


def one_by_one(score: Callable[[Item, str], Score]) -> Scorer:
    """The scorer that gives `score` each answer without the white space around it.

    A question whose right answers are not published gets no score.
    """

    def scorer(items: Iterable[Item], answers: Mapping[str, str]) -> dict[str, Score]:
        # the originals score what their chat() returns, which is stripped; a served answer may end with a line feed
        return {item.id: score(item, answers[item.id].strip()) for item in items if item.gold and item.id in answers}

    return scorer


def right_or_wrong(right: bool, read: str) -> Score:
    """The score of a metric without parts; an answer of which nothing is left is unresolved, unless that is right."""
    return Score(right, read) if right or read else NOTHING_READ


def graded(part: float, read: str) -> Score:
    """The score of a metric with parts; an answer of which nothing is left is unresolved, unless that scores."""
    return Score.of_part(part, read) if part or read else NOTHING_READ
