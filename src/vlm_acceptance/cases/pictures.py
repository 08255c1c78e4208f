"""Pictures as data URLs: as committed, as JPEG, new to every cache, or of one colour."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from PIL import Image

from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.files import BadFile, read_bytes
from vlm_acceptance.core.pictures import PICTURE_BYTES, open_picture, require_picture

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
