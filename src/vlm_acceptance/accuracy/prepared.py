"""Prepared data of a data set: pictures named by their hashes and one index, all that a run reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
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

SCHEMA = "vlm-acceptance/prepared/1"
INDEX, MANIFEST = "index.jsonl", "index.json"
_COMMAND = "python -m vlm_acceptance.accuracy.mmmu prepare"


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
    def open(cls, folder: Path, command: str = _COMMAND) -> Prepared:
        """The data of a folder; EnvironmentProblem, with the `command` that prepares them: incomplete or damaged.

        Only the sizes of pictures are checked here; `picture_bytes` checks their content.
        """
        try:
            manifest = _manifest(folder)
            lines = _lines(folder, manifest)
        except _Unusable as why:
            exists = any((folder / name).exists() for name in (INDEX, MANIFEST))
            again = f"{command} --to {shlex.quote(str(folder))}{' --force' if exists else ''}"
            raise EnvironmentProblem(f"{folder} {why}: run `{again}`") from None
        return cls(folder, MappingProxyType(manifest), lines)

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
        if hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest() != self.sha256:
            raise self._changed()

    def picture_bytes(self, picture: PictureFile) -> bytes:
        """The stored bytes of a picture; EnvironmentProblem when they are missing or have changed."""
        path = self.folder / picture.file
        try:
            stored = _read(path)
        except OSError as broken:
            raise EnvironmentProblem(f"{path} cannot be read ({broken.strerror}): prepare the data again") from None
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


def _read(path: Path) -> bytes:
    """The bytes of a file in few calls: each call releases the interpreter, which costs time with many threads."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


class _Unusable(Exception):
    """Why a folder cannot be used, in words that follow its name."""


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise _Unusable("does not exist, and so holds no prepared data")
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise _Unusable(f"holds no prepared data: {MANIFEST} is missing") from None
    except (OSError, ValueError) as broken:
        raise _Unusable(f"holds damaged data: {MANIFEST} cannot be read ({' '.join(str(broken).split())})") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise _Unusable(f"was prepared by another version: {MANIFEST} has schema {schema!r}, expected {SCHEMA!r}")
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
    try:
        with (folder / INDEX).open("rb") as index:
            for line in index:
                seen.update(line)
                item = _rows().validate_json(line)
                lines[item.id] = (item.group, offset, len(line))
                offset += len(line)
                bad += _bad_files(folder, item)
    except FileNotFoundError:
        raise _Unusable(f"holds incomplete data: {INDEX} is missing") from None
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
                size = (folder / stored.file).stat().st_size
            except FileNotFoundError:
                yield f"{stored.file} is missing"
                continue
            if size != stored.bytes:
                yield f"{stored.file} has {size} bytes instead of {stored.bytes}"
