"""Pictures as data URLs: as committed, as another kind of file, new to every cache, or of one colour."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from PIL import Image

ORIENTATION, TURNED_RIGHT = 0x0112, 6
JPEG_QUALITY = 95


def _data(picture: Image.Image, kind: str, **how: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _grey_16(picture: Image.Image) -> Image.Image:
    # high byte and low byte alike: 0 to 65535
    doubled = bytes(value for value in picture.convert("L").tobytes() for _ in range(2))
    return Image.frombytes("I;16", picture.size, doubled)


def _seen_through(picture: Image.Image) -> Image.Image:
    """The right half is invisible."""
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (picture.width // 2, 0, *picture.size))
    shown = picture.convert("RGBA")
    shown.putalpha(alpha)
    return shown


def _turned(picture: Image.Image) -> str:
    """Stored lying on its side, with the mark that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    return _data(lying, "JPEG", quality=JPEG_QUALITY, subsampling=0, exif=exif)


# the same pixels to any reader that takes the form at all
LOSSLESS: Mapping[str, Callable[[Image.Image], str]] = {
    "rgb": lambda p: _data(p, "PNG"),
    "rgba": lambda p: _data(p.convert("RGBA"), "PNG"),
    "palette": lambda p: _data(p.quantize(256), "PNG"),
    "grey": lambda p: _data(p.convert("L"), "PNG"),
}
# what becomes of these is for the server to say
OTHER: Mapping[str, Callable[[Image.Image], str]] = {
    "grey-16": lambda p: _data(_grey_16(p), "PNG"),
    "transparent": lambda p: _data(_seen_through(p), "PNG"),
    "jpeg-progressive": lambda p: _data(p, "JPEG", quality=JPEG_QUALITY, subsampling=0, progressive=True),
    "jpeg-turned": _turned,
    "webp": lambda p: _data(p, "WEBP", lossless=True),
}


@lru_cache(maxsize=128)
def form_url(path: Path, form: str) -> str:
    """A committed picture as another kind of file; `form` is one of LOSSLESS or OTHER."""
    with Image.open(path) as opened:
        return {**LOSSLESS, **OTHER}[form](opened.convert("RGB"))


def bare_url(width: int, height: int) -> str:
    """A grey picture of one byte a pixel, for sizes at which three would cost memory."""
    return _data(Image.new("L", (width, height), 128), "PNG", compress_level=1)


@lru_cache(maxsize=512)
def png_url(path: Path) -> str:
    """A committed PNG as a data URL, byte for byte."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


@lru_cache(maxsize=512)
def jpeg_url(path: Path) -> str:
    """The same picture as a high-quality JPEG (no chroma subsampling) data URL."""
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def fresh_png_url(path: Path) -> str:
    """The picture with four nearly white corner pixels of random shade: the same to a model, new to every cache."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    right, bottom = picture.width - 1, picture.height - 1
    for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):
        shade = tuple(240 + byte % 16 for byte in secrets.token_bytes(3))
        picture.putpixel(corner, shade)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
