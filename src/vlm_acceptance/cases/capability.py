"""Reads the capability cases of `fixtures/cases/*.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vlm_acceptance.config.yaml_file import read_yaml
from vlm_acceptance.core.capability import CATEGORY_ORDER, Category, Picture, Question
from vlm_acceptance.core.errors import UsageProblem


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
