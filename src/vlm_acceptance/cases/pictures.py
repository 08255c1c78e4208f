"""Pictures as data URLs: as committed, in another file format, new to every cache, or of one colour."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from PIL import Image

from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.files import BadFile, read_bytes
from vlm_acceptance.core.pictures import PICTURE_BYTES, open_picture, require_picture

ORIENTATION, TURNED_RIGHT = 0x0112, 6
# no chroma subsampling
JPEG: Mapping[str, int] = {"quality": 95, "subsampling": 0}


def data_url(mime: str, content: bytes) -> str:
    """A file as a data URL."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The file of a picture in a format of Pillow, with the options of `Image.save`."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def size_of_file(content: bytes) -> tuple[int, int] | None:
    """Width and height of the picture in a file; None if it holds no readable picture."""
    try:
        with open_picture(content) as picture:
            return picture.width, picture.height
    except BadFile:
        return None


def _url(picture: Image.Image, kind: str, **options: object) -> str:
    return data_url(f"image/{kind.lower()}", encoded(picture, kind, **options))


def _grey_16(picture: Image.Image) -> Image.Image:
    # high byte and low byte are equal: 0 to 65535
    doubled = bytes(value for value in picture.convert("L").tobytes() for _ in range(2))
    return Image.frombytes("I;16", picture.size, doubled)


def _half_transparent(picture: Image.Image) -> Image.Image:
    """The right half is transparent."""
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (picture.width // 2, 0, *picture.size))
    shown = picture.convert("RGBA")
    shown.putalpha(alpha)
    return shown


def _turned(picture: Image.Image) -> str:
    """Stored rotated by 90 degrees, with the EXIF orientation that corrects it."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    return _url(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", **JPEG, exif=exif)


# formats that hold the same pixels
LOSSLESS: Mapping[str, Callable[[Image.Image], str]] = {
    "rgb": lambda p: _url(p, "PNG"),
    "rgba": lambda p: _url(p.convert("RGBA"), "PNG"),
    "palette": lambda p: _url(p.quantize(256), "PNG"),
    "grey": lambda p: _url(p.convert("L"), "PNG"),
}
# formats that a server may read, alter or refuse
OTHER: Mapping[str, Callable[[Image.Image], str]] = {
    "grey-16": lambda p: _url(_grey_16(p), "PNG"),
    "transparent": lambda p: _url(_half_transparent(p), "PNG"),
    "jpeg-progressive": lambda p: _url(p, "JPEG", **JPEG, progressive=True),
    "jpeg-turned": _turned,
    "webp": lambda p: _url(p, "WEBP", lossless=True),
}


@lru_cache(maxsize=128)
def format_url(path: Path, name: str) -> str:
    """A committed picture in another format; `name` is a key of LOSSLESS or OTHER."""
    with Image.open(path) as opened:
        return {**LOSSLESS, **OTHER}[name](opened.convert("RGB"))


def bare_url(width: int, height: int) -> str:
    """A grey picture of one byte a pixel, for sizes at which three bytes a pixel need too much memory."""
    return _url(Image.new("L", (width, height), 128), "PNG", compress_level=1)


@lru_cache(maxsize=512)
def png_url(path: Path) -> str:
    """A committed PNG as a data URL, byte for byte."""
    content = read_bytes(path, PICTURE_BYTES)
    require_picture(content, "PNG")
    return data_url("image/png", content)


def jpeg_bytes(path: Path) -> bytes:
    """The same picture as a high-quality JPEG file."""
    with Image.open(path) as picture:
        return encoded(picture.convert("RGB"), "JPEG", **JPEG)


@lru_cache(maxsize=512)
def jpeg_url(path: Path) -> str:
    """The same picture as a high-quality JPEG data URL."""
    return data_url("image/jpeg", jpeg_bytes(path))


def fresh_png_url(path: Path, chance: Chance) -> str:
    """The picture with four nearly white corner pixels of random shade: the same to a model, new to every cache."""
    with Image.open(path) as opened:
        return freshened_url(opened.convert("RGB"), chance)


def freshened_url(picture: Image.Image, chance: Chance) -> str:
    """The same with an RGB picture, whose corner pixels it replaces."""
    right, bottom = picture.width - 1, picture.height - 1
    for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):
        picture.putpixel(corner, (240 + chance.below(16), 240 + chance.below(16), 240 + chance.below(16)))
    return _url(picture, "PNG")
