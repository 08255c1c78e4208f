"""Writes prepared data: completely or not at all, equal bytes for equal questions, one question in memory at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlm_acceptance.accuracy.item import CHOICE, ItemText
from vlm_acceptance.accuracy.prepared import COMMAND, INDEX, LINE_BYTES, MANIFEST, SCHEMA, Prepared
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import BadFile
from vlm_acceptance.core.pictures import PIXELS, open_picture, require_picture

_PICTURES, _VARIANTS = "pictures", "variants"
_OURS = {INDEX, MANIFEST, _PICTURES, _VARIANTS}
_SUFFIXES = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif"}


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture to be stored, as encoded bytes. `slot` is the N of `<image N>`."""

    slot: int
    plain: bytes
    variants: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class NewItem(ItemText):
    """A question to be stored: an Item with its pictures as bytes."""

    pictures: tuple[NewPicture, ...]


def write_prepared(
    folder: Path,
    items: Iterable[NewItem],
    *,
    dataset: str,
    source: str,
    revision: str | None,
    about: Mapping[str, Any] = MappingProxyType({}),
    replace: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    pixels: int = PIXELS,
    command: str = COMMAND,
) -> Prepared:
    """Store questions in a folder, which appears in one step or not at all, and open it; UsageProblem as check_place.

    `about` are more fields of the manifest, `progress` gets the number of stored questions, `pixels` are the most of a
    published picture, `command` is that of `Prepared.open`.
    """
    folder = folder.resolve()
    check_place(folder, replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _workplace(folder) as work:
            known = {"schema": SCHEMA, "dataset": dataset, "source": source, "revision": revision}
            manifest = {**known, **_store(work, items, progress, pixels), **about}
            (work / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")
            _swap(work, folder)
    except OSError as broken:
        raise EnvironmentProblem(f"{folder} cannot be written: {broken}") from None
    return Prepared.open(folder, command)


def check_place(folder: Path, replace: bool = False) -> None:
    """UsageProblem if the folder holds data and `replace` is off, or if it holds other things."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageProblem(f"{folder} is a file: give a folder")
    if os.path.ismount(folder):
        raise UsageProblem(f"{folder} is a mount point, which cannot be replaced in one step: give a folder below it")
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(names - _OURS) or (sorted(names) if names.isdisjoint({INDEX, MANIFEST}) else [])
    if foreign:
        raise UsageProblem(f"{folder} holds other things ({', '.join(foreign[:3])}): give a folder of its own")
    if names and not replace:
        raise UsageProblem(f"{folder} holds prepared data already: give --force to replace it")


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """An empty, locked folder beside the final one; removed afterwards, unless it was renamed to the final name."""
    work = folder.with_name(f".{folder.name}.partial")
    while True:
        work.mkdir(exist_ok=True)
        lock = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), work.stat()):
                break
        except BlockingIOError:
            os.close(lock)
            raise EnvironmentProblem(f"another preparation is writing {folder}: wait for it, or stop it") from None
        except FileNotFoundError:
            pass  # the process that held the lock has just renamed the folder
        os.close(lock)
    try:
        for path in work.iterdir():  # left by a preparation that was killed
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield work
    finally:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), work.stat()):
                shutil.rmtree(work)
        os.close(lock)


def _swap(work: Path, folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        work.rename(folder)  # this replaces an empty folder
        return
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _store(work: Path, items: Iterable[NewItem], progress: Callable[[int], None], pixels: int) -> dict[str, Any]:
    """Write all questions; the fields of the manifest about them."""
    (work / _PICTURES).mkdir()
    (work / _VARIANTS).mkdir()
    digest = hashlib.sha256()
    groups, kinds = Counter[str](), Counter[str]()
    pictures, seen = 0, set[str]()
    with (work / INDEX).open("wb") as index:
        for item in items:
            if item.id in seen:
                raise EnvironmentProblem(f"the data has two questions with the id {item.id}")
            seen.add(item.id)
            line = _line(work, item, pixels)
            digest.update(line)
            index.write(line)
            groups[item.group] += 1
            kinds[item.kind] += 1
            pictures += len(item.pictures)
            progress(len(seen))
    counts = {"kinds": dict(sorted(kinds.items())), "pictures": pictures, "groups": dict(groups)}
    return {"items": len(seen), "counts": counts, "sha256": digest.hexdigest()}


def _line(work: Path, item: NewItem, pixels: int) -> bytes:
    try:
        line = json.dumps(_row(work, item, pixels), ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        raise EnvironmentProblem(f"{item.id}: its texts hold a character that is not valid Unicode") from None
    if len(line) > LINE_BYTES:
        raise EnvironmentProblem(f"{item.id}: it takes {len(line)} bytes of the index; at most {LINE_BYTES} are read")
    return line


def _row(work: Path, item: NewItem, pixels: int) -> dict[str, Any]:
    if item.kind == CHOICE and not (len(item.gold) == 1 and len(item.gold[0]) == 1):
        raise EnvironmentProblem(f"{item.id}: the right answer of a choice must be one letter, not {item.gold}")
    return {
        "id": item.id,
        "group": item.group,
        "kind": item.kind,
        "question": item.question,
        "options": list(item.options),
        "gold": list(item.gold),
        "pictures": [
            {
                "slot": picture.slot,
                "plain": _stored(work, _PICTURES, picture.plain, item.id, pixels),
                "variants": {
                    # what was made from a picture may be twice as wide and high
                    name: _stored(work, _VARIANTS, encoded, item.id, 4 * pixels)
                    for name, encoded in sorted(picture.variants.items())
                },
            }
            for picture in item.pictures
        ],
    }


def _stored(work: Path, place: str, encoded: bytes, id: str, most: int) -> dict[str, Any]:
    """Write a picture, unless the same bytes are there already; its entry in the index."""
    try:
        # by the first bytes: Pillow has other names for some JPEGs
        suffix = _SUFFIXES[require_picture(encoded)]
        with open_picture(encoded, most) as picture:
            width, height = picture.size
    except BadFile as broken:
        raise EnvironmentProblem(f"{id}: a picture cannot be read: it {broken}") from None
    digest = hashlib.sha256(encoded).hexdigest()
    file = f"{place}/{digest}.{suffix}"
    if not (work / file).exists():
        (work / file).write_bytes(encoded)
    return {"file": file, "sha256": digest, "bytes": len(encoded), "width": width, "height": height}
