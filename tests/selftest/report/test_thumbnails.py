"""Pictures of a page: small, each embedded once, and nothing that is no picture."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.report import thumbnails
from vlm_acceptance.report.thumbnails import SIDE_PX, Sheet, small

SIGN = ROOT / "fixtures" / "images" / "ocr" / "sign-1.png"


def png(size: tuple[int, int] = (300, 200), colour: str = "red", kind: str = "PNG", mode: str = "RGB") -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_of_any_format_becomes_a_small_png(kind: str) -> None:
    made = small(png(kind=kind))
    assert made is not None
    data, size = made
    with Image.open(io.BytesIO(data)) as shown:
        assert (shown.format, shown.size, size) == ("PNG", (SIDE_PX, 149), (SIDE_PX, 149))
        red, green, blue = shown.convert("RGB").getpixel((100, 100))  # type: ignore[misc]
    assert red > 240
    assert green < 10
    assert blue < 10


def test_a_sign_of_the_suite_stays_readable_in_few_bytes() -> None:
    made = small(SIGN.read_bytes())
    assert made is not None
    assert 500 < len(made[0]) < 8000
    with Image.open(io.BytesIO(made[0])) as shown:
        assert len(shown.convert("RGB").getcolors(10_000) or ()) > 2


def test_what_is_transparent_is_shown_on_white() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(written, "PNG")
    made = small(written.getvalue())
    assert made is not None
    with Image.open(io.BytesIO(made[0])) as shown:
        assert shown.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n<script>", SIGN.read_bytes()[:400], b"GIF89a" + b"\xff" * 50],
    ids=["nothing", "svg", "script", "cut", "noise"],
)
def test_what_is_no_whole_picture_is_not_shown(content: bytes) -> None:
    assert small(content) is None
    assert Sheet().add(content) is None


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    assert small(png((5000, 4000))) is None


def test_a_small_picture_of_ours_is_taken_as_it_is_and_a_padded_one_is_not() -> None:
    made = small(SIGN.read_bytes())
    assert made is not None
    assert small(made[0]) == made
    padded = small(made[0] + b"<script>" * 4000)
    assert padded is not None
    assert b"<script>" not in padded[0]


def test_a_picture_is_embedded_once_wherever_it_occurs() -> None:
    sheet = Sheet()
    first, again, other = sheet.add(png()), sheet.add(png()), sheet.add(png(colour="blue"))
    assert first is again
    assert first is not None
    assert other is not None
    assert first.id != other.id
    found = re.findall(r'<image id="([^"]+)" [^>]*href="data:image/png;base64,([^"]+)"/>', sheet.markup())
    assert [ident for ident, _ in found] == [first.id, other.id]
    assert all(base64.b64decode(data).startswith(b"\x89PNG") for _, data in found)


def test_a_sheet_that_is_full_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MOST_PICTURES", 2)
    sheet = Sheet()
    added = [sheet.add(png(colour=colour)) for colour in ("red", "blue", "green")]
    assert [one is None for one in added] == [False, False, True]
    monkeypatch.setattr(thumbnails, "MOST_BYTES", 10)
    assert Sheet().add(png()) is None


def test_an_empty_sheet_is_empty() -> None:
    assert Sheet().markup() == ""
