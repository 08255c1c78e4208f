"""Prepared data of a data set: pictures named by their hashes and one index, all that a run reads."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, StrictInt, TypeAdapter, ValidationError

from vlm_acceptance.accuracy.item import Item, PictureFile
from vlm_acceptance.config.yaml_file import first_error
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import (
    MB,
    BadFile,
    inside,
    is_file,
    is_folder,
    parse_json,
    read_bytes,
    read_json,
    read_lines,
    shown,
)
from vlm_acceptance.core.pictures import PICTURE_BYTES, require_picture
from vlm_acceptance.core.text import trimmed

SCHEMA = "vlm-acceptance/prepared/1"
INDEX, MANIFEST = "index.jsonl", "index.json"
_INDEX_BYTES, LINE_BYTES = 256 * MB, MB  # of the index; of one line of it
_BAD_FILES = 1000
COMMAND = "python -m vlm_acceptance.accuracy.mmmu prepare"


class _Manifest(BaseModel):
    """What every index.json holds, beside its schema."""

    dataset: str
    source: str
    revision: str | None
    items: StrictInt
    sha256: str


class Prepared:
    """The questions of a prepared folder in the order of its index; each is read from disk when it is used.

    `groups` are pairs of id and group, `manifest` is the content of index.json. `sha256` is that of index.jsonl, which
    holds the hashes of all files, so that it identifies the whole data.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], lines: Mapping[str, tuple[str, int, int]]) -> None:
        """Made by `open`. `lines` are group, offset and length of the lines of the index, by id."""
        self.folder = folder
        self.manifest = manifest
        self.dataset: str = manifest["dataset"]
        self.source: str = manifest["source"]
        self.revision: str | None = manifest["revision"]
        self.sha256: str = manifest["sha256"]
        self._lines = lines
        self.groups = [(id, group) for id, (group, _, _) in lines.items()]

    @classmethod
    def open(cls, folder: Path, command: str = COMMAND) -> Prepared:
        """The data of a folder; EnvironmentProblem, with the `command` that prepares them: incomplete or damaged.

        Only the sizes of pictures are checked here; `picture_bytes` checks their content.
        """
        try:
            manifest = _manifest(folder)
            lines = _lines(folder, manifest)
        except _Unusable as why:
            exists = any(is_file(folder / name) for name in (INDEX, MANIFEST))
            again = f"{command} --to {shlex.quote(str(folder))}{' --force' if exists else ''}"
            raise EnvironmentProblem(f"{folder} {why}: run `{again}`") from None
        return cls(folder, MappingProxyType(manifest), lines)

    @property
    def prepared_as(self) -> str:
        """The published data set as which they were prepared; older data have only their own name."""
        return str(self.manifest.get("prepared_as", self.dataset))

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, id: object) -> bool:
        return id in self._lines

    def __iter__(self) -> Iterator[Item]:
        with (self.folder / INDEX).open("rb") as index:
            for id, (_, offset, length) in self._lines.items():
                index.seek(offset)
                yield self._item(id, index.read(length))

    def __getitem__(self, id: str) -> Item:
        _, offset, length = self._lines[id]
        index = os.open(self.folder / INDEX, os.O_RDONLY)
        try:
            return self._item(id, os.pread(index, length, offset))
        finally:
            os.close(index)

    def require_unchanged(self) -> None:
        """EnvironmentProblem when the index has changed since it was opened: scores would use other right answers."""
        try:
            now = read_bytes(self.folder / INDEX, _INDEX_BYTES)
        except BadFile:
            raise self._changed() from None
        if hashlib.sha256(now).hexdigest() != self.sha256:
            raise self._changed()

    def picture_bytes(self, picture: PictureFile) -> bytes:
        """The stored bytes of a picture; EnvironmentProblem when they are missing or have changed."""
        path = self.folder / picture.file
        try:
            stored = read_bytes(inside(self.folder, picture.file), PICTURE_BYTES)
            require_picture(stored)
        except BadFile as broken:
            raise EnvironmentProblem(f"{path} {broken}: prepare the data again") from None
        if hashlib.sha256(stored).hexdigest() != picture.sha256:
            raise EnvironmentProblem(f"{path} differs from what was prepared: prepare the data again with --force")
        return stored

    def _item(self, id: str, line: bytes) -> Item:
        with contextlib.suppress(ValidationError):
            item = _rows().validate_json(line)
            if item.id == id:
                return item
        raise self._changed()

    def _changed(self) -> EnvironmentProblem:
        return EnvironmentProblem(f"{self.folder / INDEX} was changed while it was in use: start again")


@cache
def _rows() -> TypeAdapter[Item]:  # not built at import, where collecting the tests would wait for it
    return TypeAdapter(Item)


class _Unusable(Exception):
    """Why a folder cannot be used, in words that follow its name."""


def _manifest(folder: Path) -> dict[str, Any]:
    if not is_folder(folder):
        raise _Unusable("does not exist, and so holds no prepared data")
    if not is_file(folder / MANIFEST):
        raise _Unusable(f"holds no prepared data: {MANIFEST} is missing")
    try:
        manifest = read_json(folder / MANIFEST)
    except BadFile as broken:
        raise _Unusable(f"holds damaged data: {MANIFEST} {broken}") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise _Unusable(
            f"was prepared by another version: {MANIFEST} has schema {trimmed(schema, 80)}, expected {SCHEMA!r}"
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as broken:
        raise _Unusable(f"holds damaged data: {MANIFEST}: {first_error(broken, _Manifest)[1]}") from None
    return dict(manifest)


def _lines(folder: Path, manifest: Mapping[str, Any]) -> dict[str, tuple[str, int, int]]:
    """Group, offset and length of every line, by id, after a check of every file that the lines name."""
    lines: dict[str, tuple[str, int, int]] = {}
    seen = hashlib.sha256()
    offset = 0
    bad: list[str] = []
    if not is_file(folder / INDEX):
        raise _Unusable(f"holds incomplete data: {INDEX} is missing")
    try:
        for _, line in read_lines(folder / INDEX, LINE_BYTES, _INDEX_BYTES):
            seen.update(line)
            parse_json(line)  # its limits; pydantic has others
            item = _rows().validate_json(line)
            lines[item.id] = (item.group, offset, len(line))
            offset += len(line)
            bad += itertools.islice(_bad_files(folder, item), _BAD_FILES - len(bad))
    except BadFile as broken:
        raise _Unusable(f"holds damaged data: line {len(lines) + 1} of {INDEX} {broken}") from None
    except ValidationError as broken:
        why = first_error(broken, Item)[1]
        raise _Unusable(f"holds damaged data: line {len(lines) + 1} of {INDEX}: {why}") from None
    except OSError as broken:
        raise _Unusable(f"holds damaged data: {INDEX} or a picture cannot be read ({broken.strerror})") from None
    if seen.hexdigest() != manifest["sha256"]:
        raise _Unusable(f"holds damaged data: the sha256 of {INDEX} is not the one in {MANIFEST}")
    if len(lines) != manifest["items"]:
        raise _Unusable(f"holds damaged data: {INDEX} has {len(lines)} questions, {MANIFEST} says {manifest['items']}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise _Unusable(f"holds damaged data: {', '.join(bad[:3])}{more}")
    return lines


def _bad_files(folder: Path, item: Item) -> Iterator[str]:
    for picture in item.pictures:
        for stored in (picture.plain, *picture.variants.values()):
            try:
                size = inside(folder, stored.file).stat().st_size
            except BadFile as broken:
                yield f"{shown(stored.file, 80)} {broken}"
                continue
            except FileNotFoundError:
                yield f"{stored.file} is missing"
                continue
            if size != stored.bytes:
                yield f"{stored.file} has {size} bytes instead of {stored.bytes}"
