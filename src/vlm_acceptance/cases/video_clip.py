"""A tiny video: JPEG frames in an AVI file, which every video decoder reads."""

from __future__ import annotations

import struct
from functools import lru_cache

from PIL import Image

from vlm_acceptance.cases.pictures import data_url, encoded

SIDE_PX = 64
FRAMES_PER_S = 8
# red for a second, then blue
COLOURS = ((220, 20, 20),) * FRAMES_PER_S + ((20, 20, 220),) * FRAMES_PER_S
_HAS_INDEX = 0x10
_KEY_FRAME = 0x10


@lru_cache(maxsize=1)
def clip_url() -> str:
    """Two seconds of video as a data URL: red, then blue."""
    frames = [encoded(Image.new("RGB", (SIDE_PX, SIDE_PX), colour), "JPEG") for colour in COLOURS]
    return data_url("video/x-msvideo", _avi(frames))


def _avi(frames: list[bytes]) -> bytes:
    count, largest = len(frames), max(map(len, frames))
    size, zeros = (SIDE_PX, SIDE_PX), [0] * 4
    video = struct.pack("<14I", 1_000_000 // FRAMES_PER_S, 0, 0, _HAS_INDEX, count, 0, 1, largest, *size, *zeros)
    stream = b"vidsMJPG" + struct.pack("<10I4H", 0, 0, 0, 1, FRAMES_PER_S, 0, count, largest, 0, 0, 0, 0, *size)
    picture = struct.pack("<3I2H4s5I", 40, *size, 1, 24, b"MJPG", 3 * SIDE_PX * SIDE_PX, *zeros)
    chunks = [_chunk(b"00dc", frame) for frame in frames]
    index, place = b"", 4  # an offset from the word "movi"
    for frame, chunk in zip(frames, chunks, strict=True):
        index += struct.pack("<4s3I", b"00dc", _KEY_FRAME, place, len(frame))
        place += len(chunk)
    header = _list(b"hdrl", _chunk(b"avih", video), _list(b"strl", _chunk(b"strh", stream), _chunk(b"strf", picture)))
    return _chunk(b"RIFF", b"AVI " + header + _list(b"movi", *chunks) + _chunk(b"idx1", index))


def _list(kind: bytes, *parts: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(parts))


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
