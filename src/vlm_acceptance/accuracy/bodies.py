"""Request bodies of megabytes, put together in memory that is used again."""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_STEP = 3 << 14  # bytes encoded at once: few calls, and small enough for the allocator to have at hand
_KEPT_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Encode:
    """Bytes that stand in the body as base64."""

    data: bytes

    def __len__(self) -> int:
        return -(-len(self.data) // 3) * 4


@dataclass(frozen=True, slots=True)
class Body:
    """One body; `whole` is valid until it is given back."""

    memory: bytearray
    whole: memoryview


class Bodies:
    """Makes bodies. Memory given back is filled again: fresh pages for each body cost more than filling them."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()

    def filled(self, pieces: Sequence[bytes | Encode]) -> Body:
        """The pieces one after another. May be called from many threads at once."""
        size = sum(map(len, pieces))
        try:
            memory = self._free.pop()
        except IndexError:
            memory = bytearray()
        if len(memory) < size:
            memory = bytearray(size)
        at = 0
        for piece in pieces:
            at = _encode(piece.data, memory, at) if isinstance(piece, Encode) else _copy(piece, memory, at)
        return Body(memory, memoryview(memory)[:size])

    def give_back(self, body: Body) -> None:
        """The body is not needed any more; large ones are not kept."""
        if len(body.memory) <= _KEPT_BYTES:
            self._free.append(body.memory)


def _copy(piece: bytes, memory: bytearray, at: int) -> int:
    memory[at : at + len(piece)] = piece
    return at + len(piece)


def _encode(data: bytes, memory: bytearray, at: int) -> int:
    view = memoryview(data)
    for start in range(0, len(data), _STEP):
        at = _copy(binascii.b2a_base64(view[start : start + _STEP], newline=False), memory, at)
    return at
