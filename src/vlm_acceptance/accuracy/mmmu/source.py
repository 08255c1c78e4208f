"""Questions of MMMU as published, read one by one from a folder or file."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from vlm_acceptance.accuracy.item import CHOICE, LETTERS, OPEN, ItemText
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, BadFile, opened, shown

# MMMU_val has 0.5 GB and 900 questions
TABLE_BYTES = 8192 * MB
QUESTIONS = 50_000
TEXT, LITERAL = 1 << 16, 1 << 16  # characters of a text; of a list that is written as a text
PLACEHOLDER = re.compile(r"<image[ _]([0-9]{1,9})>")
KINDS: Mapping[str, Literal["multiple-choice", "open"]] = {
    "multiple-choice": CHOICE,
    "open": OPEN,
    "short-answer": OPEN,  # as the authors' own answer file calls it
}


@dataclass(frozen=True, slots=True)
class Row(ItemText):
    """A published question; `pictures` are pairs of slot and encoded bytes, `file_subject` None: a file of all."""

    pictures: tuple[tuple[int, bytes], ...]
    file: str
    file_subject: str | None = None

    @property
    def placed(self) -> tuple[int, ...]:
        """Numbers of the placeholders in question and options, in the order of the text."""
        return tuple(int(number) for text in (self.question, *self.options) for number in PLACEHOLDER.findall(text))


@dataclass(frozen=True)
class Source:
    """Published data: `files` in `folder`; with `keeps_lists` several accepted answers of a question are a list."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    keeps_lists: bool = True

    def rows(self, *, pictures: bool) -> Iterator[Row]:
        """All validation questions; EnvironmentProblem with file and id of one that cannot be read."""
        raise NotImplementedError


def refuse(file: str, id: object, what: str) -> NoReturn:
    """Raise an EnvironmentProblem with the file, the question and the problem."""
    raise EnvironmentProblem(f"{shown(file)}: {shown(id, 80)}: {shown(' '.join(what.split()))}")


def digests(source: Source) -> dict[str, str]:
    """SHA-256 of every file of a source, by its path below the source's folder."""
    found = {}
    for path in source.files:
        digest = hashlib.sha256()
        try:
            with opened(path, TABLE_BYTES) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (BadFile, OSError) as broken:
            raise EnvironmentProblem(f"{shown(path)} {broken}") from None
        found[path.relative_to(source.folder).as_posix()] = digest.hexdigest()
    return found


def literal(text: str, most: int = LITERAL) -> Any:
    """The value of a Python literal of at most `most` characters; BadFile when it is not one."""
    if len(text) > most:
        raise BadFile(f"is a literal of {len(text)} characters; at most {most} are read")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise BadFile("is not a Python literal") from None


def options_of(value: object, file: str, id: object) -> tuple[str, ...]:
    """The options: a list, or a text that is the Python literal of one."""
    listed = _listed(value)
    if listed is None or not all(isinstance(option, (str, int, float)) for option in listed):
        refuse(file, id, f"its options are {value!r:.80}, expected a Python list of texts")
    return tuple(str(option) for option in listed)


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
    several = _listed(value)
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


def _listed(value: object) -> list[Any] | None:
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = literal(value.strip())
        except BadFile:
            return None
    return value if isinstance(value, list) else None
