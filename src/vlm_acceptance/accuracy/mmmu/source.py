"""Questions of MMMU as published, read one by one from a folder or file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vlm_acceptance.accuracy.item import CHOICE, LETTERS, OPEN
from vlm_acceptance.accuracy.published import PublishedRow, Source, listed, refuse

PLACEHOLDER = re.compile(r"<image[ _]([0-9]{1,9})>")
KINDS: Mapping[str, Literal["multiple-choice", "open"]] = {
    "multiple-choice": CHOICE,
    "open": OPEN,
    "short-answer": OPEN,  # as the authors' own answer file calls it
}


@dataclass(frozen=True, slots=True)
class Row(PublishedRow):
    """A published question of MMMU; `file_subject` is the subject of its file, None: a file of all."""

    file_subject: str | None = None

    @property
    def placed(self) -> tuple[int, ...]:
        """Numbers of the placeholders in question and options, in the order of the text."""
        return tuple(int(number) for text in (self.question, *self.options) for number in PLACEHOLDER.findall(text))


@dataclass(frozen=True)
class MmmuSource(Source):
    """Published data of MMMU; with `keeps_lists` several accepted answers of a question are a list."""

    keeps_lists: bool = True

    def rows(self, *, pictures: bool) -> Iterator[Row]:
        """All validation questions; EnvironmentProblem with file and id of one that cannot be read."""
        raise NotImplementedError


def options_of(value: object, file: str, id: object) -> tuple[str, ...]:
    """The options: a list, or a text that is the Python literal of one."""
    found = listed(value)
    if found is None or not all(isinstance(option, (str, int, float)) for option in found):
        refuse(file, id, f"its options are {value!r:.80}, expected a Python list of texts")
    return tuple(str(option) for option in found)


def kind_of(value: object, file: str, id: object) -> Literal["multiple-choice", "open"]:
    """The kind of a question; refused if it is not a published one."""
    kind = KINDS.get(str(value))
    if kind is None:
        refuse(file, id, f"its question_type is {value!r}, expected {' or '.join(map(repr, KINDS))}")
    return kind


def gold_of(kind: str, value: object, options: Sequence[str], file: str, id: object) -> tuple[str, ...]:
    """The accepted answers: one letter of the options, or for open questions one text or a list of them."""
    if kind == CHOICE:
        letters = LETTERS[: len(options)]
        if not isinstance(value, str) or len(value) != 1 or value not in letters:
            expected = f"one of {letters}" if letters else "a letter of its options, but it has no options"
            refuse(file, id, f"its answer is {value!r}, expected {expected}")
        return (value,)
    several = listed(value)
    if several and all(isinstance(text, str) for text in several):
        return tuple(several)
    if not isinstance(value, str) or not value.strip():
        refuse(file, id, f"its answer is {value!r}, expected a text")
    return (value,)


def check_pictures(row: Row) -> Row:
    """The row; refused if it has no picture, or a placeholder without a picture."""
    slots = {slot for slot, _ in row.pictures}
    if missing := sorted(set(row.placed) - slots):
        refuse(row.file, row.id, f"picture {missing[0]} is missing, though the text has <image {missing[0]}>")
    if not slots:
        refuse(row.file, row.id, "it has no picture")
    return row
