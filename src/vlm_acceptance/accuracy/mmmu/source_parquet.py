"""MMMU as parquet: one file per subject as on both hubs, or one merged file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.item import OPEN
from vlm_acceptance.accuracy.mmmu.source import MmmuSource, Row, check_pictures, gold_of, kind_of, options_of
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS, parts_of
from vlm_acceptance.accuracy.parquet_rows import parquet_files, parquet_rows, picture_of
from vlm_acceptance.accuracy.published import TEXT, refuse

_TEXTS = ("id", "question", "options", "answer", "question_type")
_PICTURES = tuple(f"image_{slot}" for slot in range(1, 8))


class ParquetSource(MmmuSource):
    """The validation files below a folder, in the order of the subjects."""

    def rows(self, *, pictures: bool) -> Iterator[Row]:
        """All questions, file by file, with or without their pictures."""
        columns = [*_TEXTS, *(_PICTURES if pictures else ())]
        for path in self.files:
            file = path.relative_to(self.folder).as_posix()
            file_subject = path.parent.name if path.parent.name in SUBJECTS else None
            for values in parquet_rows(path, file, columns, "MMMU"):
                row = _row(values, file, file_subject)
                yield check_pictures(row) if pictures else row


def parquet_folder(folder: Path) -> ParquetSource | None:
    """The validation files below a folder, or None; EnvironmentProblem if a part of a file in parts is missing."""
    found = parquet_files(folder, "validation")
    if not found:
        return None
    order = {subject: place for place, subject in enumerate(SUBJECTS)}
    found.sort(key=lambda path: (order.get(path.parent.name, len(order)), path.as_posix()))
    return ParquetSource(f"parquet {folder.name}", folder, tuple(found))


def parquet_file(path: Path) -> ParquetSource:
    """One file with the questions of all subjects or of one."""
    return ParquetSource(f"parquet {path.parent.name}", path.parent, (path,))


def _row(values: Mapping[str, Any], file: str, file_subject: str | None) -> Row:
    id = values["id"]
    parts = parts_of(id) if isinstance(id, str) else None
    if parts is None:
        refuse(file, f"{id!r:.80}", "this is not a valid id of MMMU")
    if not isinstance(values["question"], str):
        refuse(file, id, "it has no question")
    if long := next((name for name in _TEXTS if len(str(values[name])) > TEXT), None):
        refuse(file, id, f"its {long} has more than {TEXT} characters")
    kind = kind_of(values["question_type"], file, id)
    options = () if kind == OPEN else options_of(values["options"], file, id)
    gold = gold_of(kind, values["answer"], options, file, id)
    pictures = tuple(_pictures(values, file, id))
    return Row(id, parts[1], kind, values["question"], options, gold, pictures, file, file_subject)


def _pictures(values: Mapping[str, Any], file: str, id: str) -> Iterator[tuple[int, bytes]]:
    for slot, column in enumerate(_PICTURES, start=1):
        held = values.get(column)
        if held is None:
            continue
        yield slot, picture_of(held, slot, file, id)
