"""The published layouts of a split: parquet of the hubs, VLMEvalKit's table, JSON lines with a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.jsonl_rows import PicturePaths, annotated_golds, jsonl_rows, picture_bytes
from vlm_acceptance.accuracy.parquet_rows import parquet_files, parquet_rows, picture_of
from vlm_acceptance.accuracy.published import PublishedRow, Source, digest_of, refuse
from vlm_acceptance.accuracy.published_split import Fields, LinesLayout, RowReader, Split
from vlm_acceptance.accuracy.tsv_rows import TsvTable
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import is_file

_IDS = ("questionId", "question_id", "index")  # of a table, the first that it has


@dataclass(frozen=True)
class SplitSource(Source):
    """Published data of a split."""

    split: Split

    @property
    def groups(self) -> Mapping[str, int]:
        """The numbers of questions that complete data of this layout have, by group."""
        return self.split.groups

    @property
    def ids(self) -> str:
        """Where the ids of the questions come from: the name of a field, or `number`."""
        raise NotImplementedError


class SplitParquet(SplitSource):
    """Parquet files in the order of their names."""

    @property
    def ids(self) -> str:
        """The column of the ids."""
        return self.split.parquet.id or "number"

    def rows(self, *, pictures: bool) -> Iterator[PublishedRow]:
        """All questions, file by file, with or without their pictures."""
        split, layout, reader = self.split, self.split.parquet, RowReader(self.split)
        columns = ["question", layout.answers, *filter(None, [layout.id]), *(["image"] if pictures else [])]
        group = [layout.group] if layout.group else []
        needed = columns if layout.group_is_optional else [*columns, *group]
        for path in self.files:
            file = path.relative_to(self.folder).as_posix()
            for values in parquet_rows(path, file, needed, split.title, group if layout.group_is_optional else ()):
                fields = Fields(
                    values.get(layout.id), values.get(layout.group), values["question"], values[layout.answers]
                )
                picture = partial(picture_of, values["image"], 1, file) if pictures else None
                yield reader.row(fields, file, picture)


class SplitTable(SplitSource):
    """VLMEvalKit's table."""

    @property
    def groups(self) -> Mapping[str, int]:
        """The numbers of questions by the groups that the table names."""
        return self.split.groups if self.split.table_groups is None else self.split.table_groups

    @property
    def ids(self) -> str:
        """The column of the ids."""
        return "number" if self.split.id_of else next(name for name in _IDS if name in self._table.columns())

    def rows(self, *, pictures: bool) -> Iterator[PublishedRow]:
        """All questions, with or without their pictures, of which questions may share one."""
        reader, group, id = RowReader(self.split), self.split.table.group, self.ids
        places = self._places
        for number, values in self._table.rows():
            file = f"{self.files[0].name}, row {number}"
            answers, are_lists = values.get("answer"), self.split.table.answers_are_lists
            fields = Fields(values.get(id), values.get(group), values["question"], answers, are_lists)
            picture = partial(self._table.picture, values["image"], places, file)
            row = reader.row(fields, file, picture if pictures else None)
            self._table.picture_place(values["image"], places, file, row.id)
            yield row

    def notes(self) -> tuple[str, ...]:
        """Whether this is the published table, by its MD5."""
        name, found, published = self.files[0].name, digest_of(self.files[0], "md5"), self.split.table.md5
        if found == published:
            return (f"{name} is the published table, md5 {found}",)
        return (f"{name} is not the published table: its md5 is {found} instead of {published}",)

    @cached_property
    def _table(self) -> TsvTable:
        needed = ["index", "image", "question"]
        if self.split.golds != 0:
            needed.append("answer")
        if self.split.table.group:
            needed.append(self.split.table.group)
        return TsvTable(self.files[0], self.split.table.file, needed)

    @cached_property
    def _places(self) -> dict[str, int | None]:
        return self._table.picture_places()


class SplitLines(SplitSource):
    """JSON lines files in the order of the layout, with the file of annotations behind them, if there is one."""

    @property
    def ids(self) -> str:
        """The field of the ids."""
        return "number" if self.split.id_of else "question_id"

    def rows(self, *, pictures: bool) -> Iterator[PublishedRow]:
        """All questions, with or without their pictures."""
        reader, golds = RowReader(self.split), self._golds
        for path, number, values in self._lines():
            file, id = f"{path.name}, line {number}", values.get("question_id")
            answers = values.get("answer") if golds is None else golds.get(str(id))
            if golds is not None and answers is None:
                refuse(file, id, f"its right answers are not in {self.files[-1].name}")
            fields = Fields(id, self._layout.files.get(path.name, ""), values["question"], answers)
            picture = partial(self._picture, values["image"], path.name, file) if pictures else None
            yield reader.row(fields, file, picture)

    def digests(self) -> dict[str, str]:
        """SHA-256 of the files, and one of the names and the bytes of all pictures."""
        found = super().digests()
        digest = hashlib.sha256()
        seen: set[str] = set()
        for path, number, values in self._lines():
            name = str(values["image"])
            if name not in seen:
                seen.add(name)
                file, id = f"{path.name}, line {number}", str(values.get("question_id"))
                sha256 = digest_of(self._paths.path(values["image"], path.name, file, id))
                digest.update(json.dumps([name, sha256]).encode())
        return {**found, "pictures": digest.hexdigest()}

    def _picture(self, name: object, lines: str, file: str, id: str) -> bytes:
        return picture_bytes(self._paths.path(name, lines, file, id), file, id)

    @cached_property
    def _paths(self) -> PicturePaths:
        return PicturePaths(self.folder)

    def _lines(self) -> Iterator[tuple[Path, int, dict[str, Any]]]:
        needed = ["image", "question", *([] if self.split.id_of else ["question_id"])]
        for path in self.files:
            if path.suffix == ".jsonl":
                for number, values in jsonl_rows(path, needed, self.split.title):
                    yield path, number, values

    @cached_property
    def _golds(self) -> Mapping[str, list[str]] | None:
        """The right answers by question; None where they are in the lines."""
        if self.files[-1].suffix == ".jsonl":
            return None
        return annotated_golds(self.files[-1])

    @property
    def _layout(self) -> LinesLayout:
        assert self.split.lines is not None
        return self.split.lines


def parquet_in(split: Split, folder: Path) -> SplitParquet | None:
    """The parquet files of a split below a folder, or None; EnvironmentProblem if a part of them is missing."""
    layout = split.parquet
    found = [path for path in parquet_files(folder, layout.split) if path.parent.name not in layout.other_configs]
    if inner := [path for path in found if layout.config and path.parent.name == layout.config]:
        found = inner
    return SplitParquet(f"parquet {folder.name}", folder, tuple(found), split) if found else None


def table_in(split: Split, folder: Path) -> SplitTable | None:
    """The table of a split in a folder, or None."""
    path = folder / split.table.file
    return table_at(split, path) if is_file(path) else None


def table_at(split: Split, path: Path) -> SplitTable:
    """A table of any name."""
    return SplitTable(f"table {path.name}", path.parent, (path,), split)


def lines_in(split: Split, folder: Path) -> SplitLines | None:
    """The JSON lines files of a split in a folder, or None; EnvironmentProblem if only some of its files are there."""
    layout = split.lines
    if layout is None or not any(is_file(folder / name) for name in layout.files):
        return None
    files = [folder / name for name in layout.files]
    if absent := [path.name for path in files if not is_file(path)]:
        raise EnvironmentProblem(f"{folder} holds {split.title} only in part: {absent[0]} is missing")
    if layout.annotations:
        found = next((folder / name for name in layout.annotations if is_file(folder / name)), None)
        if found is None:
            missing = " or ".join(layout.annotations)
            raise EnvironmentProblem(f"{folder} holds {split.title} without its right answers: {missing} is missing")
        files.append(found)
    return SplitLines(f"json lines {folder.name}", folder, tuple(files), split)
