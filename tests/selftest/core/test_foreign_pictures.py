"""Pictures from elsewhere: by their first bytes, and not more pixels than are decoded in reasonable memory."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from vlm_acceptance.cases.pictures import png_url, size_of_file
from vlm_acceptance.core.files import BadFile
from vlm_acceptance.core.pictures import PIXELS, format_of, open_picture, require_picture, rgb_of


def encoded(kind: str, size: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_format_is_known_by_its_first_bytes(kind: str) -> None:
    assert format_of(encoded(kind)) == kind
    assert rgb_of(encoded(kind))[0].size == (8, 6)


@pytest.mark.parametrize(
    "content", [b"", b"root:x:0:0", b"%!PS-Adobe", b"<svg/>", b"\0" * 99, b"RIFFxxxxWAVE", b"P6 1 1 255 abc"]
)
def test_what_does_not_begin_like_a_picture_is_none(content: bytes) -> None:
    for read in (require_picture, open_picture, rgb_of):
        with pytest.raises(BadFile, match="is not a picture"):
            read(content)
    assert size_of_file(content) is None


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9000)) + chunk(b"IEND", b"")
    )
    for content in (bomb, bomb.replace(head, struct.pack(">IIBBBBB", PIXELS + 1, 1, 8, 0, 0, 0, 0))):
        with pytest.raises(BadFile):
            rgb_of(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_cut_picture_is_a_bad_file(kind: str) -> None:
    content = encoded(kind, (64, 64))
    for length in (4, 12, 20, len(content) // 2):
        with pytest.raises(BadFile):
            rgb_of(content[:length])


def test_another_file_is_not_sent_as_a_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("JPEG"))
    with pytest.raises(BadFile, match="is not a PNG picture"):
        png_url(tmp_path / "a.png")
