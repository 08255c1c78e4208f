"""Small pictures for pages: each picture is embedded once, as a data URL, and shown from there wherever it occurs."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass

from markupsafe import Markup
from PIL import Image

from vlm_acceptance.core.files import MB, BadFile
from vlm_acceptance.core.pictures import UNREADABLE, open_picture

SIDE_PX, COLOURS = 224, 48
# of a picture that is taken as it is
SMALL_BYTES = 20_000
# of a picture that is made small; a larger one is linked only
MOST_PIXELS = 16_000_000
# of one page
MOST_PICTURES, MOST_BYTES = 400, MB // 2


def small(content: bytes) -> tuple[bytes, tuple[int, int]] | None:
    """A PNG of few colours, at most 224 pixels a side, and its size; None when the picture cannot be decoded."""
    try:
        with open_picture(content, MOST_PIXELS) as picture:
            if _is_small(content, picture):
                picture.load()  # a damaged one is refused here
                return content, picture.size
            shown = _on_white(picture)
            shown = shown.reduce(max(1, max(shown.size) // (2 * SIDE_PX)))
            shown.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
            flat = shown.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            written = io.BytesIO()
            flat.save(written, "PNG")
    except (BadFile, *UNREADABLE):
        return None
    return written.getvalue(), flat.size


def _is_small(content: bytes, picture: Image.Image) -> bool:
    """Whether it is as this module writes pictures."""
    is_ours = picture.format == "PNG" and picture.mode == "P" and "transparency" not in picture.info
    return is_ours and max(picture.size) <= SIDE_PX and len(content) <= SMALL_BYTES


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB; what is transparent becomes white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        cut_out = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, (255, 255, 255))
        white.paste(cut_out, mask=cut_out.getchannel("A"))
        return white
    picture.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))  # a JPEG is decoded at a smaller size
    return picture.convert("RGB")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of the sheet: its id on the page, and its size in pixels."""

    id: str
    width: int
    height: int


class Sheet:
    """The small pictures of one page. What is beyond its limits, or no picture, is not added."""

    def __init__(self) -> None:
        self._by_content: dict[str, Thumbnail | None] = {}
        self._by_bytes: dict[bytes, Thumbnail] = {}
        self._used = 0

    def add(self, content: bytes) -> Thumbnail | None:
        """The picture on the sheet; None when it is not there."""
        key = hashlib.sha256(content).hexdigest()
        if key not in self._by_content:
            self._by_content[key] = self._placed(content)
        return self._by_content[key]

    def _placed(self, content: bytes) -> Thumbnail | None:
        if len(self._by_bytes) >= MOST_PICTURES or self._used >= MOST_BYTES:
            return None
        made = small(content)
        if made is None:
            return None
        data, (width, height) = made
        if data not in self._by_bytes:
            if self._used + len(data) > MOST_BYTES:
                return None
            self._used += len(data)
            self._by_bytes[data] = Thumbnail(f"picture-{len(self._by_bytes) + 1}", width, height)
        return self._by_bytes[data]

    def markup(self) -> Markup:
        """The pictures as SVG images that `<use>` can show; empty without pictures."""
        return Markup("\n").join(
            Markup('<image id="{}" width="{}" height="{}" href="data:image/png;base64,{}"/>').format(
                one.id, one.width, one.height, base64.b64encode(data).decode("ascii")
            )
            for data, one in self._by_bytes.items()
        )
