"""Prepared data of a benchmark: pictures named by their hashes and one index, all that a run ever reads."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from vlm_acceptance.accuracy.item import Item, Picture, PictureFile
from vlm_acceptance.core.errors import EnvironmentProblem

SCHEMA = "vlm-acceptance/prepared/1"
INDEX, MANIFEST = "index.jsonl", "index.json"
_COMMAND = "python -m vlm_acceptance.accuracy.mmmu prepare"
_NEEDED: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "source": str,
    "revision": (str, type(None)),
    "items": int,
    "sha256": str,
}


class Prepared:
    """The questions of a prepared folder, in the order of its index, read from disk when asked for.

    `groups` pairs every id with its group. `manifest` is index.json as it stands; `sha256` is that of index.jsonl,
    which lists every file's own, so that it stands for the whole data.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], lines: Mapping[str, tuple[str, int, int]]) -> None:
        """Made by `open`. `lines` holds group, offset and length of every line of the index, by id."""
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
        """The data of a whole and undamaged folder; `command` is the one that prepares such data.

        EnvironmentProblem, in one line with the command, when there is none, or a part is missing or differs. Files
        are looked at, not read: their bytes are checked by `picture_bytes`.
        """
        try:
            manifest = _manifest(folder)
            lines = _lines(folder, manifest)
        except _Unfit as unfit:
            held = any((folder / name).exists() for name in (INDEX, MANIFEST))
            again = f"{command} --to {shlex.quote(str(folder))}{' --force' if held else ''}"
            raise EnvironmentProblem(f"{folder} {unfit}: run `{again}`") from None
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
        """EnvironmentProblem when the index is not what it was when it was opened: marks would follow other golds."""
        seen = hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest()
        if seen != self.sha256:
            raise EnvironmentProblem(f"{self.folder / INDEX} was changed while it was in use: start again")

    def picture_bytes(self, picture: PictureFile) -> bytes:
        """The stored bytes of a picture; EnvironmentProblem when they are gone or have changed."""
        path = self.folder / picture.file
        try:
            stored = _read(path)
        except OSError as broken:
            raise EnvironmentProblem(f"{path} cannot be read ({broken.strerror}): prepare the data again") from None
        if hashlib.sha256(stored).hexdigest() != picture.sha256:
            raise EnvironmentProblem(f"{path} differs from what was prepared: prepare the data again with --force")
        return stored

    def _item(self, id: str, line: bytes) -> Item:
        try:
            row = json.loads(line)
        except ValueError:
            row = {}
        if row.get("id") != id:
            raise EnvironmentProblem(f"{self.folder / INDEX} was changed while it was in use: start again")
        return _item(row)


def _read(path: Path) -> bytes:
    """The bytes of a file, in few calls: with many threads each of them is a chance to lose the interpreter."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


class _Unfit(Exception):
    """What is wrong with a folder, in words that follow its name."""


def _unfit(what: str) -> NoReturn:
    raise _Unfit(what)


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        _unfit("does not exist, and so holds no prepared data")
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        _unfit(f"holds no prepared data: {MANIFEST} is missing")
    except (OSError, ValueError) as broken:
        _unfit(f"holds damaged data: {MANIFEST} cannot be read ({' '.join(str(broken).split())})")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        seen = manifest.get("schema") if isinstance(manifest, dict) else None
        _unfit(f"was prepared by another version: {MANIFEST} has schema {seen!r}, {SCHEMA!r} is read here")
    wrong = [name for name, kind in _NEEDED.items() if name not in manifest or not isinstance(manifest[name], kind)]
    if wrong:
        _unfit(f"holds damaged data: {MANIFEST} has no sound {', '.join(wrong)}")
    return manifest


def _lines(folder: Path, manifest: Mapping[str, Any]) -> dict[str, tuple[str, int, int]]:
    """Group, offset and length of every line, by id, after a look at every file that the lines name."""
    lines: dict[str, tuple[str, int, int]] = {}
    seen = hashlib.sha256()
    offset = 0
    bad: list[str] = []
    try:
        with (folder / INDEX).open("rb") as index:
            for line in index:
                seen.update(line)
                row = json.loads(line)
                lines[row["id"]] = (row["group"], offset, len(line))
                offset += len(line)
                bad += _bad_files(folder, row)
    except FileNotFoundError:
        _unfit(f"holds incomplete data: {INDEX} is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        _unfit(f"holds damaged data: line {len(lines) + 1} of {INDEX} cannot be read")
    if seen.hexdigest() != manifest["sha256"]:
        _unfit(f"holds damaged data: {INDEX} differs from what {MANIFEST} says of it")
    if len(lines) != manifest["items"]:
        _unfit(f"holds damaged data: {INDEX} has {len(lines)} questions, {MANIFEST} says {manifest['items']}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        _unfit(f"holds damaged data: {', '.join(bad[:3])}{more}")
    return lines


def _bad_files(folder: Path, row: Mapping[str, Any]) -> Iterator[str]:
    for picture in row["pictures"]:
        for stored in (picture["plain"], *picture["variants"].values()):
            try:
                size = (folder / stored["file"]).stat().st_size
            except FileNotFoundError:
                yield f"{stored['file']} is missing"
                continue
            if size != stored["bytes"]:
                yield f"{stored['file']} has {size} bytes instead of {stored['bytes']}"


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        id=row["id"],
        group=row["group"],
        kind=row["kind"],
        question=row["question"],
        options=tuple(row["options"]),
        gold=tuple(row["gold"]),
        pictures=tuple(_picture(picture) for picture in row["pictures"]),
    )


def _picture(row: Mapping[str, Any]) -> Picture:
    variants = {name: _file(stored) for name, stored in row["variants"].items()}
    return Picture(row["slot"], _file(row["plain"]), MappingProxyType(variants))


def _file(row: Mapping[str, Any]) -> PictureFile:
    return PictureFile(row["file"], row["sha256"], row["width"], row["height"])
