"""The pictures of a run for its page: question, planted words, answers, right or wrong. Read from stored files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import BadFile, inside, is_file, read_bytes, read_json
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.store import OBSERVATIONS
from vlm_acceptance.report.thumbnails import SMALL_BYTES, Sheet, Thumbnail

NAME = f"{OBSERVATIONS}/gallery.json"
MOST_ENTRIES = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of this run; `problem` is why there is none, `wrong` what is wrong with it."""

    text: str
    is_right: bool
    problem: str
    wrong: Sequence[str]
    test: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture with its planted words, how often it was asked about and answered rightly, and some answers."""

    name: str
    planted: str
    small: Thumbnail | None
    asked: int
    right: int
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about several pictures; new pictures have one question each."""

    prompt: str
    language: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return sum(entry.asked for entry in self.entries)

    @property
    def right(self) -> int:
        """How many answers were right."""
        return sum(entry.right for entry in self.entries)


def gallery_of(folder: Path, sheet: Sheet, gaps: list[str]) -> dict[str, list[Question]]:
    """The questions by category; empty in runs of former versions. Pictures are put on the sheet."""
    if not is_file(folder / NAME):
        return {}
    try:
        rows = read_json(folder / NAME)
        rows = rows if isinstance(rows, list) else []
        return _grouped(folder, sheet, rows[:MOST_ENTRIES])
    except (BadFile, TypeError, ValueError, KeyError, AttributeError) as broken:
        gaps.append(f"{NAME} is not shown: {type(broken).__name__}: {broken}")
        return {}


def _grouped(folder: Path, sheet: Sheet, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Question]]:
    groups: dict[str, dict[tuple[str, str], Question]] = {}
    for row in rows:
        prompt = str(row["prompt"])
        questions = groups.setdefault(str(row["group"]), {})
        question = questions.setdefault((str(row["question"]), prompt), Question(prompt, str(row["language"])))
        question.entries.append(_entry(folder, sheet, row))
    return {group: list(questions.values()) for group, questions in groups.items()}


def _entry(folder: Path, sheet: Sheet, row: Mapping[str, Any]) -> Entry:
    small = None
    if row["picture"]:
        try:
            small = sheet.add(read_bytes(inside(folder, row["picture"]), SMALL_BYTES))
        except BadFile:
            small = None
    either = f" {tr('or')} "
    return Entry(
        name=str(row["name"]),
        planted=", ".join(either.join(map(str, part)) for part in row["planted"]),
        small=small,
        asked=int(row["asked"]),
        right=int(row["right"]),
        answers=[
            Answer(
                str(one["text"]), one["right"] is True, str(one["problem"]), [*map(str, one["wrong"])], str(one["test"])
            )
            for one in row["answers"]
        ],
    )
