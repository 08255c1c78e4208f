"""The tensors of a checkpoint, read one at a time from its safetensors files, in the type in which they are stored.

They are read, not mapped: mapped pages would count as this process's memory until the system wants them back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, inside, parse_json, read_json, shown
from vlm_acceptance.reference.config_section import stands

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_HEADER_BYTES = 32 << 20
LFS = b"version "  # as a pointer begins; a header of so many bytes there is not
TYPES: Mapping[str, torch.dtype] = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


class Weights(Protocol):
    """Where a network gets its tensors; a change of the weights is a Weights around another."""

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The size of each tensor by its name."""

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored; KeyError if there is none."""

    def rows(self, name: str, numbers: Sequence[int]) -> Tensor:
        """These rows of a matrix, (numbers, columns)."""


@dataclass(frozen=True, slots=True)
class _Stored:
    path: Path
    type: torch.dtype
    size: tuple[int, ...]
    first: int

    @property
    def bytes(self) -> int:
        return prod(self.size) * int(self.type.itemsize)


class Checkpoint:
    """The safetensors of a folder, one file or several with an index; UsageProblem names a file that is not valid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored: dict[str, _Stored] = {}
        for path in _files(folder):
            self.stored |= _header(path)

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The size of each tensor by its name."""
        return {name: stored.size for name, stored in self.stored.items()}

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored; KeyError if there is none."""
        stored = self.stored[name]
        return _read(stored, stored.first, stored.size)

    def rows(self, name: str, numbers: Sequence[int]) -> Tensor:
        """These rows of a matrix; each is read by itself."""
        stored = self.stored[name]
        _, columns = stored.size
        length = columns * stored.type.itemsize
        return torch.cat([_read(stored, stored.first + number * length, (1, columns)) for number in numbers])


def require_tensors(weights: Weights, wanted: Mapping[str, tuple[int, ...]], place: Path) -> None:
    """UsageProblem that names the first tensor of the shape that is absent or has another size."""
    found = weights.sizes()
    for name, size in wanted.items():
        if name not in found:
            raise UsageProblem(f"{shown(place)} has no tensor {name}, which its config.json asks for")
        if found[name] != size:
            raise UsageProblem(f"{shown(place)}: {name} is {_times(found[name])}; config.json asks for {_times(size)}")


def _times(size: Sequence[int]) -> str:
    return " × ".join(map(str, size)) or "a single number"


def _files(folder: Path) -> list[Path]:
    if not stands(folder / INDEX):
        if not stands(folder / SINGLE):
            raise UsageProblem(f"{shown(folder)} holds neither {SINGLE} nor {INDEX}")
        return [folder / SINGLE]
    try:
        index = read_json(folder / INDEX)
        names = index["weight_map"].values()
        return [inside(folder, name, links=True) for name in sorted(set(names))]
    except BadFile as broken:
        raise UsageProblem(f"{shown(folder / INDEX)} {broken}") from None
    except (KeyError, TypeError, AttributeError):
        raise UsageProblem(f"{shown(folder / INDEX)} has no weight_map of file names") from None


def _header(path: Path) -> dict[str, _Stored]:
    try:
        with path.open("rb") as file:
            first = file.read(8)
            if first == LFS:
                raise UsageProblem(f"{shown(path)} is a pointer of Git LFS, no weights: `git lfs pull` fetches them")
            length = int.from_bytes(first, "little")
            if not 0 < length <= MOST_HEADER_BYTES:
                raise UsageProblem(f"{shown(path)} is not a safetensors file (its header would be {length} bytes)")
            header = parse_json(file.read(length))
            size = os.fstat(file.fileno()).st_size
    except OSError as broken:
        raise UsageProblem(f"{shown(path)}: {broken.strerror}") from None
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)}: its header {broken}") from None
    if not isinstance(header, dict):
        raise UsageProblem(f"{shown(path)}: its header is not a JSON object")
    return {name: _entry(path, name, row, 8 + length, size) for name, row in header.items() if name != "__metadata__"}


def _entry(path: Path, name: str, row: Any, start: int, end: int) -> _Stored:
    try:
        kind, size, (first, last) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
        if not all(isinstance(number, int) and number >= 0 for number in (*size, first, last)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UsageProblem(f"{shown(path)}: the header's row of {name} is not valid") from None
    if kind not in TYPES:
        raise UsageProblem(
            f"{shown(path)}: {name} is stored as {json.dumps(kind)}, but --route own reads {', '.join(TYPES)}"
        )
    stored = _Stored(path, TYPES[kind], size, start + first)
    if last - first != stored.bytes:
        raise UsageProblem(f"{shown(path)}: {name} has {last - first} bytes; its size asks for {stored.bytes}")
    if start + last > end:
        raise UsageProblem(f"{shown(path)} ends inside {name}: it was not copied whole")
    return stored


def _read(stored: _Stored, first: int, size: Sequence[int]) -> Tensor:
    tensor = torch.empty(list(size), dtype=stored.type)
    view = memoryview(tensor.view(-1).view(torch.uint8).numpy())
    try:
        with stored.path.open("rb") as file:
            file.seek(first)
            # a file is read in parts of 2 GB at most
            done = 0
            while done < len(view):
                read = file.readinto(view[done:])
                if not read:
                    raise UsageProblem(f"{shown(stored.path)} ends early: it was not copied whole")
                done += read
    except OSError as broken:
        raise UsageProblem(f"{shown(stored.path)}: {broken.strerror}") from None
    return tensor
