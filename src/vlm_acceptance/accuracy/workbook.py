"""Rows of the first sheet of an xlsx file, as texts, with limits: a file of 1 MB can stand for gigabytes of cells."""

from __future__ import annotations

import importlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat

from vlm_acceptance.core.files import MB, BadFile, opened, shown

FILE_BYTES = 64 * MB
UNPACKED_BYTES = 96 * MB
PARTS = 200
# XML elements of all cells, of the cells of one row, and of a part that holds no cells, such as the styles
ELEMENTS, ROW_ELEMENTS, OTHER_ELEMENTS = 800_000, 5_000, 20_000
DEPTH = 50
ROWS, COLUMNS = 50_000, 1_000
# what openpyxl raises over damaged bytes
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError)
_BROKEN_XML = (
    ArithmeticError, AttributeError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError, AssertionError,
    MemoryError,
)  # fmt: skip
_ESCAPED_CONTROL = re.compile(r"_x00([01][0-9A-Fa-f])_")


def rows(path: Path) -> Iterator[Sequence[str]]:
    """The rows as texts, one at a time in memory; BadFile when it is not a readable xlsx, or larger than the limits."""
    try:
        # optional: only xlsx files need it
        openpyxl = importlib.import_module("openpyxl")
    except ImportError:
        raise BadFile("cannot be read: reading xlsx needs openpyxl: pip install openpyxl") from None
    with opened(path, FILE_BYTES) as file:
        try:
            _check(file)
            file.seek(0)
            yield from _texts(openpyxl, file)
        except BadFile:
            raise
        except (*_BROKEN_ZIP, *_BROKEN_XML, expat.ExpatError) as broken:
            raise BadFile(f"is not a readable xlsx: {shown(broken, 100)}") from None


def _texts(openpyxl: Any, file: BinaryIO) -> Iterator[Sequence[str]]:
    workbook = openpyxl.load_workbook(file, read_only=True)
    try:
        sheet = workbook.worksheets[0]
        # some writers state a wrong size
        sheet.reset_dimensions()
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number > ROWS or len(cells) > COLUMNS:
                raise BadFile(f"has more than {ROWS} rows or {COLUMNS} columns")
            texts = ["" if cell is None else str(cell) for cell in cells]
            yield [_ESCAPED_CONTROL.sub(lambda code: chr(int(code[1], 16)), text) for text in texts]
    finally:
        workbook.close()


def _check(file: BinaryIO) -> None:
    """BadFile when a part of the archive is larger than what openpyxl reads in little memory."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED_BYTES:
            raise BadFile(f"has more than {PARTS} parts, or unpacks to more than {UNPACKED_BYTES} bytes")
        counter = _Elements()
        for part in parts:
            if part.filename.endswith((".xml", ".rels")):
                with archive.open(part) as stream:
                    counter.read(stream, holds_cells=part.filename.startswith(("xl/worksheets/", "xl/sharedStrings")))


class _Elements:
    """Counts the XML elements of the parts, a block at a time; a document type is refused, as it defines entities."""

    def __init__(self) -> None:
        self._of_cells = self._rows = self._of_row = self._of_part = self._depth = 0
        self._holds_cells = False

    def read(self, stream: Any, *, holds_cells: bool) -> None:
        """One part of the archive; BadFile when it exceeds a limit."""
        self._of_row = self._of_part = self._depth = 0
        self._holds_cells = holds_cells
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse_doctype
        while block := stream.read(1 << 16):
            parser.Parse(block)

    def _start(self, name: str, _: object) -> None:
        self._of_part += 1
        self._of_cells += self._holds_cells
        self._rows += name == "row"
        self._of_row = 0 if name == "row" else self._of_row + 1
        self._depth += 1
        too_many = (
            self._rows > ROWS or self._of_cells > ELEMENTS or (not self._holds_cells and self._of_part > OTHER_ELEMENTS)
        )
        if too_many or (self._holds_cells and self._of_row > ROW_ELEMENTS) or self._depth > DEPTH:
            raise BadFile("is not read: it holds too many cells, in one row or in all, or is nested too deep")

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name in ("row", "si"):
            self._of_row = 0


def _refuse_doctype(*_: object) -> None:
    raise BadFile("is not a readable xlsx: it has a document type")
