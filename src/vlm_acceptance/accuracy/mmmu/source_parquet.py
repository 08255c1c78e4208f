"""MMMU as parquet: one file per subject as on both hubs, or one merged file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.item import OPEN
from vlm_acceptance.accuracy.mmmu.source import (
    QUESTIONS,
    TABLE_BYTES,
    TEXT,
    Row,
    Source,
    check_pictures,
    gold_of,
    kind_of,
    options_of,
    refuse,
)
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS, parts_of
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, opened, shown

PYARROW = 'pip install "pyarrow>=16,<26"'
_TEXTS = ("id", "question", "options", "answer", "question_type")
_PICTURES = tuple(f"image_{slot}" for slot in range(1, 8))
_SHARD = re.compile(r"validation-([0-9]+)-of-([0-9]+)\.parquet")
# what pyarrow raises over damaged bytes, beside its own
_BROKEN = (OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError, AttributeError)
_LIMITS = {
    "buffer_size": 1 << 20,
    "pre_buffer": False,
    "thrift_string_size_limit": 16 * MB,
    "thrift_container_size_limit": 100_000,
}
_ROWS_AT_ONCE = 4  # a row may hold seven pictures of several MB


class ParquetSource(Source):
    """The validation files below a folder, in the order of the subjects."""

    def rows(self, *, pictures: bool) -> Iterator[Row]:
        """All questions, file by file, with or without their pictures."""
        for path in self.files:
            yield from _rows_of(path, path.relative_to(self.folder).as_posix(), pictures)


def parquet_folder(folder: Path) -> ParquetSource | None:
    """The validation files below a folder, or None; EnvironmentProblem if a part of a file in parts is missing."""
    found = [path for path in folder.rglob("validation-*.parquet") if not _hidden(path.relative_to(folder))]
    if not found:
        return None
    _refuse_missing_parts(folder, found)
    order = {subject: place for place, subject in enumerate(SUBJECTS)}
    found.sort(key=lambda path: (order.get(path.parent.name, len(order)), path.as_posix()))
    return ParquetSource(f"parquet {folder.name}", folder, tuple(found))


def parquet_file(path: Path) -> ParquetSource:
    """One file with the questions of all subjects or of one."""
    return ParquetSource(f"parquet {path.parent.name}", path.parent, (path,))


def _hidden(path: Path) -> bool:
    """Whether a path is below a hidden folder, where hub clients keep unfinished downloads."""
    return any(part.startswith(".") for part in path.parts)


def _refuse_missing_parts(folder: Path, found: Sequence[Path]) -> None:
    for path in found:
        count = shard[2] if (shard := _SHARD.fullmatch(path.name)) else "0"
        for number in range(int(count)):
            part = path.with_name(f"validation-{number:05}-of-{count}.parquet")
            if part not in found:
                raise EnvironmentProblem(f"{folder}: {part.relative_to(folder)} is missing: download the data again")


def _rows_of(path: Path, file: str, pictures: bool) -> Iterator[Row]:
    parquet = _pyarrow("pyarrow.parquet")
    broken: type[Exception] = _pyarrow("pyarrow").ArrowException
    file_subject = path.parent.name if path.parent.name in SUBJECTS else None
    try:
        with opened(path, TABLE_BYTES) as raw, parquet.ParquetFile(raw, **_LIMITS) as table:
            if table.metadata.num_rows > QUESTIONS or table.metadata.num_row_groups > QUESTIONS:
                raise EnvironmentProblem(f"{file} has more than {QUESTIONS} rows: this is not MMMU")
            columns = [*_TEXTS, *(_PICTURES if pictures else ())]
            if absent := sorted(set(columns) - set(table.schema_arrow.names)):
                raise EnvironmentProblem(f"{file} has no column {', '.join(absent)}: this is not MMMU")
            for values in _values(table, columns):
                row = _row(values, file, file_subject)
                yield check_pictures(row) if pictures else row
    except (*_BROKEN, broken) as cause:
        raise EnvironmentProblem(f"{file} is damaged or incomplete: {shown(cause, 200)}") from None


def _values(table: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    # group by group and without threads: else several groups of some hundred pictures are in memory at once
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=columns, use_threads=False):
            yield from batch.to_pylist()


def _pyarrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as absent:
        raise EnvironmentProblem(f"parquet cannot be read here ({absent}): {PYARROW}") from None


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
        encoded = held.get("bytes") if isinstance(held, dict) else held
        if not isinstance(encoded, bytes) or not encoded:
            refuse(file, id, f"picture {slot}: the file has only its name")
        yield slot, encoded
