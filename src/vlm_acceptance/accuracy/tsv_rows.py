"""Rows of VLMEvalKit's tables: tab-separated, a header, pictures in base64 or by the index of the row that has it."""

from __future__ import annotations

import base64
import contextlib
import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from vlm_acceptance.accuracy.published import QUESTIONS, TABLE_BYTES, TEXT, check_repeated, refuse
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, BadFile, opened, shown

LARGEST_FIELD = 48 * MB  # a picture of 36 MB in base64
_LARGEST_LINE = LARGEST_FIELD + 16 * TEXT
_MOST_TABS = 10_000  # of a line: the published tables have fewer than 30 columns
_SHORTEST_PICTURE = 64  # characters; a shorter text is the index of another row


class TsvTable:
    """One table, read row by row. `name` is what its publisher calls it, `needed` are the columns that it must have.

    EnvironmentProblem where it is damaged, incomplete or another table.
    """

    def __init__(self, path: Path, name: str, needed: Iterable[str]) -> None:
        self.path = path
        self._name = name
        self._needed = frozenset(needed)
        self._last = (-1, b"")

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Number, from 1, and fields of every row."""
        for number, _, fields in self._rows():
            yield number, fields

    def picture_places(self) -> dict[str, int | None]:
        """For every index the place of its row in the file; None for a row whose picture is in another row."""
        places: dict[str, int | None] = {}
        for number, place, fields in self._rows():
            index = fields["index"].strip()
            if index in places:
                refuse(self.path.name, f"row {number}", f"its index {shown(index, 40)} is that of an earlier row, too")
            places[index] = place if len(fields["image"]) > _SHORTEST_PICTURE else None
        return places

    def picture(self, text: str, places: Mapping[str, int | None], file: str, id: str) -> bytes:
        """The picture of a row: its field `image`, or that of the row whose index it names."""
        place = self.picture_place(text, places, file, id)
        if place is None:
            return decoded(text, file, id)
        if self._last[0] != place:  # questions on one picture follow each other
            _, _, fields = next(self._rows(place))
            self._last = (place, decoded(fields["image"], file, id))
        return self._last[1]

    def picture_place(self, text: str, places: Mapping[str, int | None], file: str, id: str) -> int | None:
        """The place of the row that a field `image` names, None for a picture; refused if it has no picture either."""
        if len(text) > _SHORTEST_PICTURE:
            return None
        index = text.strip()
        if not index:
            refuse(file, id, "it has no picture")
        if index not in places:
            refuse(file, id, f"its picture is that of the row with the index {index!r}, which does not exist")
        place = places[index]
        if place is None:
            refuse(file, id, f"its picture is that of the row with the index {index!r}, which has none of its own")
        return place

    def columns(self) -> list[str]:
        """The names in the header."""
        with self._opened() as file:
            return self._names(file)

    def _rows(self, place: int | None = None) -> Iterator[tuple[int, int, dict[str, str]]]:
        """Number, place and fields of the rows, all or those from a place in the file on."""
        with self._opened() as file:
            names = self._names(file)
            if place is not None:
                file.seek(place)
            yield from self._named(file, names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        limit = csv.field_size_limit(LARGEST_FIELD)
        try:
            with opened(self.path, TABLE_BYTES) as file:
                yield file
        except (OSError, ValueError, csv.Error) as broken:
            raise EnvironmentProblem(f"{self.path.name} is damaged or incomplete: {shown(broken, 200)}") from None
        finally:
            csv.field_size_limit(limit)

    def _names(self, file: BinaryIO) -> list[str]:
        if file.read(3) != b"\xef\xbb\xbf":  # a spreadsheet may have put this mark in front
            file.seek(0)
        names = next(csv.reader(_lines(file), delimiter="\t", strict=True), [])
        if absent := sorted(self._needed - set(names)):
            file_name, columns = self.path.name, ", ".join(absent)
            raise EnvironmentProblem(f"{file_name} has no column {columns}: this is not {self._name}")
        check_repeated(names, self.path.name)
        return names

    def _named(self, file: BinaryIO, names: list[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
        reader = csv.reader(_lines(file), delimiter="\t", strict=True)
        name, number = self.path.name, 0
        while True:
            place = file.tell()  # the reader takes no line ahead
            fields = next(reader, None)
            if fields is None:
                return
            number += 1
            if len(fields) != len(names):
                refuse(name, f"row {number}", f"it has {len(fields)} of {len(names)} fields: download it again")
            if number > QUESTIONS:
                raise EnvironmentProblem(f"{name} has more than {QUESTIONS} rows: this is not {self._name}")
            values = dict(zip(names, fields, strict=True))
            if long := next((each for each, text in values.items() if len(text) > TEXT and each != "image"), None):
                refuse(name, f"row {number}", f"its {long} has more than {TEXT} characters")
            yield number, place, values


def decoded(text: str, file: str, id: str) -> bytes:
    """The bytes of a picture in base64; refused if they are not."""
    if len(text) <= _SHORTEST_PICTURE:
        refuse(file, id, f"its picture is {text!r}, which is not base64 of a picture")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as broken:  # other characters than those of base64, too
        refuse(file, id, f"a picture is not base64: {broken}")


def _lines(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(_LARGEST_LINE + 1):
        if len(line) > _LARGEST_LINE:
            raise BadFile(f"it has a line of more than {_LARGEST_LINE} bytes")
        if line.count(b"\t") > _MOST_TABS:
            raise BadFile(f"it has a line of more than {_MOST_TABS} fields")
        yield line.decode("utf-8")
