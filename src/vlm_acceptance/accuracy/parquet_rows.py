"""Rows of parquet files, a few at a time in memory. pyarrow is needed only here and only for preparation."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.published import QUESTIONS, TABLE_BYTES, check_repeated, refuse
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, opened, shown

PYARROW = 'pip install "pyarrow>=16,<26"'
_SHARD = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.parquet")
# what pyarrow raises over damaged bytes, beside its own
_BROKEN = (OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError, AttributeError)
_LIMITS = {
    "buffer_size": 1 << 20,
    "pre_buffer": False,
    "thrift_string_size_limit": 16 * MB,
    "thrift_container_size_limit": 100_000,
}
_ROWS_AT_ONCE = 4  # a row may hold seven pictures of several MB


def parquet_files(folder: Path, split: str) -> list[Path]:
    """The files `SPLIT-*.parquet` below a folder, by name; EnvironmentProblem if one of several parts is missing.

    Hidden folders are left out: there hub clients keep unfinished downloads.
    """
    found = sorted(
        path
        for path in folder.rglob(f"{split}-*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    for path in found:
        shard = _SHARD.fullmatch(path.name)
        for number in range(min(int(shard[3]), QUESTIONS) if shard else 0):
            part = path.with_name(f"{split}-{number:05}-of-{shard[3] if shard else ''}.parquet")
            if part not in found:
                raise EnvironmentProblem(f"{folder}: {part.relative_to(folder)} is missing: download the data again")
    return found


def parquet_rows(
    path: Path, file: str, columns: Sequence[str], dataset: str, optional: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """The columns of every row, `optional` ones where there are any; EnvironmentProblem: damaged, or another data set.

    `file` is the file's name in messages.
    """
    parquet = _pyarrow("pyarrow.parquet")
    broken: type[Exception] = _pyarrow("pyarrow").ArrowException
    try:
        with opened(path, TABLE_BYTES) as raw, parquet.ParquetFile(raw, **_LIMITS) as table:
            if table.metadata.num_rows > QUESTIONS or table.metadata.num_row_groups > QUESTIONS:
                raise EnvironmentProblem(f"{file} has more than {QUESTIONS} rows: this is not {dataset}")
            names = table.schema_arrow.names
            if absent := sorted(set(columns) - set(names)):
                raise EnvironmentProblem(f"{file} has no column {', '.join(absent)}: this is not {dataset}")
            check_repeated([name for name in names if name in {*columns, *optional}], file)
            yield from _values(table, [*columns, *(name for name in optional if name in names)])
    except (*_BROKEN, broken) as cause:
        raise EnvironmentProblem(f"{file} is damaged or incomplete: {shown(cause, 200)}") from None


def picture_of(held: object, slot: int, file: str, id: str) -> bytes:
    """The encoded bytes of a picture in a row; refused if the file has only its name."""
    encoded = held.get("bytes") if isinstance(held, Mapping) else held
    if not isinstance(encoded, bytes) or not encoded:
        refuse(file, id, f"picture {slot}: the file has only its name")
    return encoded


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
