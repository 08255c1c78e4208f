"""Reads a stored run with one row per question: our answers file, or an xlsx, csv or tsv file of VLMEvalKit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import workbook
from vlm_acceptance.accuracy.answers_file import answers, read_identity
from vlm_acceptance.accuracy.item import LETTERS
from vlm_acceptance.accuracy.workbook import COLUMNS, ROWS
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import MB, BadFile, opened, shown
from vlm_acceptance.core.text import trimmed

# what VLMEvalKit writes for a failed request
FAILED_REQUEST = "Failed to obtain answer via API"
# its second option of an open question that it turned into a choice of two
OTHER_ANSWERS = "Other Answers"
FORMATS = (".jsonl", ".xlsx", ".csv", ".tsv")
_SPLITS = {"validation", "val"}
_HITS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_MAX_CELL = 16 * MB
_MAX_BYTES = 256 * MB


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its question (`id` and `group` may be ''), its raw answer, and whether the file counts it right (`hit`).

    `text` is None if the request failed; `place` is the position of the row for messages.
    """

    place: str
    id: str
    group: str
    question: str
    options: tuple[str, ...]
    text: str | None
    hit: bool | None


def read_stored(path: Path) -> tuple[list[Row], Mapping[str, Any] | None]:
    """The rows of a file and the identity of an answers file; UsageProblem of one line if the file is not valid."""
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise UsageProblem(f"{shown(path)}: a stored run with one row per question is one of {', '.join(FORMATS)}")
    try:
        if kind == ".jsonl":
            identity = read_identity(path)
            # a repeated answer replaces the earlier one
            last = {a.id: Row(f"answer {a.id}", a.id, "", "", (), a.text, None) for a in answers(path)}
            return list(last.values()), identity
        table = workbook.rows(path) if kind == ".xlsx" else _separated(path, "\t" if kind == ".tsv" else ",")
        return list(_rows(path, table)), None
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None
    except OSError as broken:
        raise UsageProblem(f"{shown(path)} cannot be read: {broken.strerror or broken}") from None
    except UnicodeDecodeError as broken:
        raise UsageProblem(f"{shown(path)} is not UTF-8 text (byte {broken.start})") from None


def _separated(path: Path, delimiter: str) -> Iterator[Sequence[str]]:
    # an answer that repeats itself exceeds the default limit of 128 KB per cell
    csv.field_size_limit(_MAX_CELL)
    with opened(path, _MAX_BYTES) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for number, cells in enumerate(reader, start=1):
                if number > ROWS or len(cells) > COLUMNS:
                    raise BadFile(f"has more than {ROWS} rows or {COLUMNS} columns")
                yield cells
        except csv.Error as broken:
            raise UsageProblem(f"{shown(path)}, line {reader.line_num}: {broken}") from None


def _rows(path: Path, lines: Iterator[Sequence[str]]) -> Iterator[Row]:
    columns = _columns(path, next(lines, []))
    for number, cells in enumerate(lines, start=2):
        row = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
        if not any(row.values()) or ("split" in row and row["split"].strip().lower() not in _SPLITS):
            continue
        options = tuple(row[letter] for letter in LETTERS if row.get(letter))
        text = row["prediction"]
        yield Row(
            f"row {number}",
            row.get("id", "").strip(),
            row.get("category", "").strip(),
            row.get("question", ""),
            () if len(options) == 2 and options[1] == OTHER_ANSWERS else options,
            None if FAILED_REQUEST in text else text,
            _HITS.get(row.get("hit", "").lower()),
        )


def _columns(path: Path, head: Sequence[str]) -> dict[str, int]:
    """Column numbers by name: letters of options as they are, all other names in lower case."""
    names = [cell.strip() for cell in head]
    columns = {name if name in set(LETTERS) else name.lower(): place for place, name in enumerate(names) if name}
    needed = ["prediction"] if "id" in columns else ["prediction", "question"]
    missing = [name for name in needed if name not in columns]
    if missing:
        there = trimmed(", ".join(names), 120)
        raise UsageProblem(
            f"{shown(path)} is not a stored run with one row per question: no column {missing[0]!r} among {there}"
        )
    return columns
