"""The clip that is sent as a video: a valid AVI file."""

from __future__ import annotations

import base64
import struct

import pytest

from vlm_acceptance.cases.video_clip import COLOURS, clip_url


def clip() -> bytes:
    head, _, data = clip_url().partition(",")
    assert head == "data:video/x-msvideo;base64"
    return base64.b64decode(data, validate=True)


def test_its_sizes_and_index_match_its_frames() -> None:
    whole = clip()
    assert whole[:4] + whole[8:12] == b"RIFFAVI "
    assert struct.unpack("<I", whole[4:8]) == (len(whole) - 8,)
    movie, index = whole.index(b"movi"), whole.index(b"idx1")
    rows = list(struct.iter_unpack("<4s3I", whole[index + 8 :]))
    assert len(rows) == len(COLOURS)
    for name, _, place, size in rows:
        frame = whole[movie + place :][: 8 + size]
        assert frame[:8] == struct.pack("<4sI", name, size)
        assert (frame[8:10], frame[-2:]) == (b"\xff\xd8", b"\xff\xd9")


def test_a_video_decoder_reads_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    path.write_bytes(clip())
    opened = cv2.VideoCapture(str(path))
    frames = []
    while (read := opened.read())[0]:
        frames.append(read[1][32, 32])
    assert len(frames) == len(COLOURS)
    assert (frames[0][2] > 180, frames[-1][0] > 180) == (True, True)  # blue, green, red
