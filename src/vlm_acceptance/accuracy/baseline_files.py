"""Rows of a per-question record: our own answers file, or what VLMEvalKit stores as xlsx, csv or tsv."""

from __future__ import annotations

import csv
import importlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.answers_file import answers, read_identity
from vlm_acceptance.accuracy.item import LETTERS
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.text import printable, trimmed

# what VLMEvalKit writes where a request failed
FAILED_REQUEST = "Failed to obtain answer via API"
# how it spells an open question once it has made a choice of two of it
OTHER_ANSWERS = "Other Answers"
FORMATS = (".jsonl", ".xlsx", ".csv", ".tsv")
_SPLITS = {"validation", "val"}
# what zipfile, an XML parser and openpyxl raise over damaged bytes
_BROKEN_WORKBOOK = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_ESCAPED_CONTROL = re.compile(r"_x00([01][0-9A-Fa-f])_")
_MAX_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what tells its question (`id` and `group` are '' where the record has none), its raw answer, its hit.

    `text` is None where the request failed; `place` says where the row stands, for a reader.
    """

    place: str
    id: str
    group: str
    question: str
    options: tuple[str, ...]
    text: str | None
    hit: bool | None


@dataclass(frozen=True, slots=True)
class Record:
    """A file's rows in their order, and for an answers file of ours the identity that it begins with."""

    rows: tuple[Row, ...]
    identity: Mapping[str, Any] | None


def read_record(path: Path) -> Record:
    """Read a record; the suffix names its format. UsageProblem of one line for anything else or anything broken."""
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise UsageProblem(f"{_shown(path)}: a per-question record is one of {', '.join(FORMATS)}")
    try:
        if kind == ".jsonl":
            return _answers_file(path)
        table = _workbook(path) if kind == ".xlsx" else _separated(path, "\t" if kind == ".tsv" else ",")
        return Record(tuple(_rows(path, table)), None)
    except OSError as broken:
        raise UsageProblem(f"{_shown(path)} cannot be read: {broken.strerror or broken}") from None
    except UnicodeDecodeError as broken:
        raise UsageProblem(f"{_shown(path)} is no UTF-8 text (byte {broken.start})") from None


def _shown(path: Path) -> str:
    return printable(str(path)).replace("\n", "\\n")


def _answers_file(path: Path) -> Record:
    identity = read_identity(path)
    # an answer that was asked for again replaces the earlier one
    last = {a.id: Row(f"answer {a.id}", a.id, "", "", (), a.text, None) for a in answers(path)}
    return Record(tuple(last.values()), identity)


def _separated(path: Path, delimiter: str) -> Iterator[Sequence[Any]]:
    # the default limit of 128 KB a cell is less than one looping answer
    csv.field_size_limit(_MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            yield from reader
        except csv.Error as broken:
            raise UsageProblem(f"{_shown(path)}, line {reader.line_num}: {broken}") from None


def _workbook(path: Path) -> Iterator[Sequence[Any]]:
    try:
        # named here only: nothing else of a run needs it
        openpyxl = importlib.import_module("openpyxl")
    except ImportError:
        raise UsageProblem(f"{_shown(path)}: reading xlsx needs openpyxl: pip install openpyxl") from None
    with path.open("rb") as file:
        try:
            book = openpyxl.load_workbook(file, read_only=True)
            try:
                sheet = book.worksheets[0]
                # some writers state a size that is not so
                sheet.reset_dimensions()
                for cells in sheet.iter_rows(values_only=True):
                    yield [_ESCAPED_CONTROL.sub(_control, cell) if isinstance(cell, str) else cell for cell in cells]
            finally:
                book.close()
        except _BROKEN_WORKBOOK as broken:
            raise UsageProblem(f"{_shown(path)} is no readable xlsx: {trimmed(str(broken), 100)}") from None


def _control(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _rows(path: Path, table: Iterable[Sequence[Any]]) -> Iterator[Row]:
    lines = iter(table)
    columns = _columns(path, next(lines, []))
    for number, cells in enumerate(lines, start=2):
        row = {name: cells[place] for name, place in columns.items() if place < len(cells)}
        if all(_text(cell) == "" for cell in row.values()):
            continue
        if "split" in columns and _text(row.get("split")).strip().lower() not in _SPLITS:
            continue
        options = tuple(_text(row[letter]) for letter in LETTERS if _text(row.get(letter)) != "")
        text = _text(row.get("prediction"))
        yield Row(
            f"row {number}",
            _text(row.get("id")).strip(),
            _text(row.get("category")).strip(),
            _text(row.get("question")),
            () if len(options) == 2 and options[1] == OTHER_ANSWERS else options,
            None if FAILED_REQUEST in text else text,
            _hit(row.get("hit")),
        )


def _columns(path: Path, head: Sequence[Any]) -> dict[str, int]:
    """Names to places: the letters of options as they are, every other name in lower case."""
    names = [_text(cell).strip() for cell in head]
    columns = {name if name in set(LETTERS) else name.lower(): place for place, name in enumerate(names) if name}
    needed = ["prediction"] if "id" in columns else ["prediction", "question"]
    missing = [name for name in needed if name not in columns]
    if missing:
        there = trimmed(", ".join(names), 120)
        raise UsageProblem(f"{_shown(path)} is no per-question record: no column {missing[0]!r} among {there}")
    return columns


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _hit(cell: object) -> bool | None:
    return {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}.get(_text(cell).lower())
