"""Items, answers and scorers for the selftests of metrics, reports and stored runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from vlm_acceptance.accuracy.item import CHOICE, OPEN, Answer, Item, Score

DOMAINS = {"Art and Design": ("Art", "Music"), "Science": ("Math", "Physics")}


def choice(ident: str, group: str = "Art", question: str = "Which?", gold: str = "A", options: int = 4) -> Item:
    return Item(ident, group, CHOICE, question, tuple(f"{ident} option {n}" for n in range(options)), (gold,), ())


def open_item(ident: str, group: str = "Art", question: str = "How many?", gold: tuple[str, ...] = ("60",)) -> Item:
    return Item(ident, group, OPEN, question, (), gold, ())


def answered(ident: str, text: str, **changes: Any) -> Answer:
    made = Answer(ident, "answered", text, "stop", 100, 2, "", 200, "2026-11-22T10:00:00Z", 0.5, (), "p", (), "m")
    return replace(made, **changes)


def failed(ident: str, status: Literal["refused", "lost"], error: str) -> Answer:
    return Answer(ident, status, None, None, None, None, error, None, "2026-11-22T10:00:00Z", 1.0, (), "p", (), None)


def exact(items: Iterable[Item], answers: Mapping[str, str]) -> dict[str, Score]:
    """Right if the answer is a gold; Z declines; an answer to a choice that is not a letter is unresolved."""
    scores = {}
    for item in items:
        if item.id in answers:
            text = answers[item.id].strip()
            if text == "Z":
                scores[item.id] = Score(False, "", "declined")
            elif item.kind == CHOICE and text not in set(item.letters):
                scores[item.id] = Score(False, "", "unresolved")
            else:
                scores[item.id] = Score(text in item.gold, text)
    return scores


def generous(items: Iterable[Item], answers: Mapping[str, str]) -> dict[str, Score]:
    """Every answer is right."""
    return {item.id: Score(True, answers[item.id]) for item in items if item.id in answers}
