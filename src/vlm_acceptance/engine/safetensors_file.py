"""The part of a safetensors file that can be read without its tensors: a length, a JSON header, and where data ends."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

_LENGTH = 8
_LARGEST_HEADER = 100_000_000  # the format's own limit
LFS_POINTER = b"version https://git-lfs"


class Damaged(ValueError):
    """The file is not a whole safetensors file; the message says why, without the file's name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the header; `bytes` is its share of the data."""

    name: str
    dtype: str
    parameters: int
    bytes: int


def read_header(path: Path) -> tuple[tuple[Tensor, ...], bytes]:
    """The tensors a file promises and the header's own bytes; Damaged when the file cannot hold them. OSError as is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise Damaged("is a git-lfs pointer, not the weights: run `git lfs pull` or download it again")
        if size < _LENGTH:
            raise Damaged(f"is {size} bytes long and holds no header: download it again")
        (length,) = struct.unpack("<Q", start[:_LENGTH])
        if length > _LARGEST_HEADER:
            raise Damaged("does not begin like a safetensors file: download it again")
        if length > size - _LENGTH:
            raise Damaged(f"ends inside its header ({size} bytes): download it again")
        file.seek(_LENGTH)
        raw = file.read(length)
    try:
        tensors = tuple(_tensors(json.loads(raw)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged("has a header that is no safetensors JSON: download it again") from None
    promised = _LENGTH + length + sum(tensor.bytes for tensor in tensors)
    if size < promised:
        raise Damaged(f"holds {size} of {promised} bytes: the download was cut short, fetch it again")
    if size > promised:
        raise Damaged(f"holds {size} bytes where its header promises {promised}: download it again")
    return tensors, raw


def _tensors(header: dict[str, Any]) -> Iterator[Tensor]:
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            yield Tensor(name, str(entry["dtype"]), prod(entry["shape"]), int(end) - int(begin))
