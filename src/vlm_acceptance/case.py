"""Capability cases: prompts with pictures and what their answers must contain. Data, read from `fixtures/cases/`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vlm_acceptance.errors import UsageProblem
from vlm_acceptance.yaml_data import read_yaml

CATEGORY_ORDER = ("ocr", "description", "understanding", "reasoning", "chinese")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _PictureFile(_Strict):
    file: str
    parts: list[Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    visible: list[str]


class _QuestionFile(_Strict):
    id: str
    prompt: str
    language: str = Field("en", pattern="^(en|zh)$")
    tokens: tuple[int, int] = (1, 200)
    max_tokens: int = 256
    blind_max: int = 1
    pictures: list[_PictureFile] = Field(min_length=8, max_length=8)

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> _QuestionFile:
        if not 0 < self.tokens[0] <= self.tokens[1]:
            raise ValueError(f"tokens: {list(self.tokens)} are not bounds from low to high")
        return self


class _TwinFile(_Strict):
    of: str
    prompt: str
    language: str = Field(pattern="^(en|zh)$")
    tokens: tuple[int, int]
    max_tokens: int


class _CategoryFile(_Strict):
    id: str
    title: str
    dataset: str
    must: str
    questions: list[_QuestionFile] = Field(min_length=1)
    twin: _TwinFile

    @model_validator(mode="after")
    def _ids_differ(self) -> _CategoryFile:
        ids = [question.id for question in self.questions]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two questions have one id among {ids}")
        return self

    @model_validator(mode="after")
    def _twin_speaks_the_other_language(self) -> _CategoryFile:
        languages = {question.id: question.language for question in self.questions}
        if self.twin.of not in languages:
            raise ValueError(f"twin.of: {self.twin.of!r} is no question among {list(languages)}")
        if self.twin.language == languages[self.twin.of]:
            raise ValueError(f"twin.language: {self.twin.of!r} is asked in {self.twin.language!r} already")
        return self


@dataclass(frozen=True, slots=True)
class Picture:
    """A committed PNG and its planted answer: every part must be answered, by any of its alternatives.

    `visible` holds every planted word this picture shows, right answer or not.
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
        """Planted words of the other pictures that this picture does not show; seeing one is never right."""
        others = {word for other in self.pictures for part in other.parts for word in part}
        return frozenset(others - picture.visible - {w for part in picture.parts for w in part})


@dataclass(frozen=True, slots=True)
class Category:
    """One of the five capabilities, with the MUST sentence its test stands for.

    `twin` asks one of the questions in the other language: same pictures, same planted answers, id `sign-zh`.
    """

    id: str
    title: str
    dataset: str
    must: str
    questions: tuple[Question, ...]
    twin: Question


def load_categories(folder: Path, images: Path) -> tuple[Category, ...]:
    """Every `*.yaml` of `folder`, in the order of CATEGORY_ORDER; UsageProblem names a bad file, key or picture."""
    found: dict[str, Category] = {}
    for path in sorted(folder.glob("*.yaml")):
        category = _load(path, images)
        if category.id in found:
            raise UsageProblem(f"{path}: id: {category.id!r} is the id of another file of {folder} too")
        found[category.id] = category
    if not found:
        raise UsageProblem(f"no capability cases: {folder} holds no *.yaml")
    ranked = sorted(found, key=lambda c: (CATEGORY_ORDER.index(c) if c in CATEGORY_ORDER else len(CATEGORY_ORDER), c))
    return tuple(found[c] for c in ranked)


def _load(path: Path, images: Path) -> Category:
    raw = read_yaml(path, _CategoryFile)
    questions = tuple(_question(question, path, images) for question in raw.questions)
    return Category(raw.id, raw.title, raw.dataset, raw.must, questions, _twin(raw.twin, questions))


def _twin(raw: _TwinFile, questions: tuple[Question, ...]) -> Question:
    (own,) = (question for question in questions if question.id == raw.of)
    return replace(
        own,
        id=f"{raw.of}-{raw.language}",
        prompt=raw.prompt,
        language=raw.language,
        tokens=raw.tokens,
        max_tokens=raw.max_tokens,
    )


def _question(raw: _QuestionFile, path: Path, images: Path) -> Question:
    pictures = []
    for picture in raw.pictures:
        file = images / picture.file
        if not file.is_file():
            raise UsageProblem(
                f"{path}: question {raw.id!r} names the picture {picture.file!r}, which {images} does not hold"
            )
        pictures.append(Picture(file, tuple(map(tuple, picture.parts)), frozenset(picture.visible)))
    return Question(raw.id, raw.prompt, raw.language, raw.tokens, raw.max_tokens, raw.blind_max, tuple(pictures))
