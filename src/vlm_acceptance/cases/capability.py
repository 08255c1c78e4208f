"""Reads the capability cases of `fixtures/cases/*.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vlm_acceptance.config.yaml_file import Section, read_yaml
from vlm_acceptance.core.capability import CATEGORY_ORDER, Category, Picture, Question
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile
from vlm_acceptance.core.pictures import require_png


def _ordered(bounds: tuple[int, int]) -> tuple[int, int]:
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError("it must be two bounds, the lower one first and above 0")
    return bounds


Tokens = Annotated[tuple[int, int], AfterValidator(_ordered)]
Language = Literal["en", "zh"]


class _PictureRow(Section):
    file: str
    parts: list[Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    visible: list[str]


class _QuestionRow(Section):
    id: str
    prompt: str
    language: Language = "en"
    tokens: Tokens = (1, 200)
    max_tokens: int = 256
    blind_max: int = 1
    pictures: list[_PictureRow] = Field(min_length=8, max_length=8)


class _TranslatedRow(Section):
    of: str
    prompt: str
    language: Language
    tokens: Tokens
    max_tokens: int


class _CategoryFile(Section):
    id: str
    title: str
    guide_name: str
    must: str
    questions: list[_QuestionRow] = Field(min_length=1)
    translated: _TranslatedRow

    @model_validator(mode="after")
    def _names_are_right(self) -> _CategoryFile:
        ids = [question.id for question in self.questions]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two questions have one id among {ids}")
        languages = {question.id: question.language for question in self.questions}
        if self.translated.of not in languages:
            raise ValueError(f"translated.of: {self.translated.of!r} is not a question; there are: {ids}")
        if self.translated.language == languages[self.translated.of]:
            raise ValueError(f"translated.language: the question is in {self.translated.language!r} already")
        return self


def load_categories(folder: Path, images: Path) -> tuple[Category, ...]:
    """Every `*.yaml` of `folder`, in the order of CATEGORY_ORDER; UsageProblem names a bad file, key or picture."""
    found: dict[str, Category] = {}
    for path in sorted(folder.glob("*.yaml")):
        file = read_yaml(path, _CategoryFile)
        questions = {row.id: _question(row, path, images) for row in file.questions}
        row = file.translated
        translated = replace(questions[row.of], id=f"{row.of}-{row.language}", **row.model_dump(exclude={"of"}))
        if file.id in found:
            raise UsageProblem(f"{path}: id: {file.id!r} is the id of another file of {folder} too")
        found[file.id] = Category(
            file.id, file.title, file.guide_name, file.must, tuple(questions.values()), translated
        )
    if not found:
        raise UsageProblem(f"no capability cases: {folder} holds no *.yaml")
    ranked = sorted(found, key=lambda c: (CATEGORY_ORDER.index(c) if c in CATEGORY_ORDER else len(CATEGORY_ORDER), c))
    return tuple(found[c] for c in ranked)


def _question(row: _QuestionRow, path: Path, images: Path) -> Question:
    pictures = []
    for picture in row.pictures:
        try:
            file = require_png(images, picture.file)
        except BadFile as broken:
            raise UsageProblem(f"{path}: question {row.id!r} {broken} (pictures are below {images})") from None
        pictures.append(Picture(file, tuple(map(tuple, picture.parts)), frozenset(picture.visible)))
    return Question(pictures=tuple(pictures), **row.model_dump(exclude={"pictures"}))
