"""Capability questions: prompts about pictures, and what their answers must and must not contain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CATEGORY_ORDER = ("ocr", "description", "understanding", "reasoning", "chinese")


@dataclass(frozen=True, slots=True)
class Picture:
    """A committed PNG and its planted answer: an answer holds each part, by any of its alternatives.

    `visible` are all planted words that this picture shows, right answers or not.
    """

    path: Path
    parts: tuple[tuple[str, ...], ...]
    visible: frozenset[str]


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt over eight pictures with eight different planted answers; `tokens` bounds the answer's length."""

    id: str
    prompt: str
    language: str
    tokens: tuple[int, int]
    max_tokens: int
    blind_max: int
    pictures: tuple[Picture, ...]

    def foreign_to(self, picture: Picture) -> frozenset[str]:
        """Planted words of the other pictures that this picture does not show: an answer must not hold them."""
        others = {word for other in self.pictures for part in other.parts for word in part}
        return frozenset(others - picture.visible - {w for part in picture.parts for w in part})


@dataclass(frozen=True, slots=True)
class Category:
    """One of the five capabilities, with the MUST sentence of its test, and its name in the deployment guide.

    `translated` is one of the questions in the other language: same pictures, same planted answers, id `sign-zh`.
    """

    id: str
    title: str
    guide_name: str
    must: str
    questions: tuple[Question, ...]
    translated: Question
