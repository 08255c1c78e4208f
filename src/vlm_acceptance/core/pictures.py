"""Pictures from elsewhere: known by their first bytes, limited in bytes and pixels before anything is decoded."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

from PIL import Image

from vlm_acceptance.core.files import MB, BadFile, inside, read_bytes, shown

PICTURE_BYTES = 64 * MB
# Pillow itself refuses 180 million, and twice as wide and high there are four times as many
PIXELS = 40_000_000
_MAGIC = (
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("JPEG", b"\xff\xd8\xff"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
)
# names of the kinds of picture files in cases/picture_kinds.py
PICTURE_KINDS = (
    "png-grey", "png-1-bit", "png-palette", "png-interlaced", "png-profile", "png-grey-16",
    "png-rgb-16", "png-palette-4",
    "jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-cmyk", "jpeg-profile",
    "webp", "webp-lossless", "gif", "bmp", "tiff", "tiff-cmyk",
    "png-opaque", "png-cut-out", "png-cut-out-black", "png-grey-alpha", "png-grey-alpha-black", "png-palette-cut-out",
    "png-palette-cut-out-black", "png-colour-key", "gif-cut-out", "webp-cut-out-black",
    "jpeg-turned-2", "jpeg-turned-3", "jpeg-turned-4", "jpeg-turned-5", "jpeg-turned-6", "jpeg-turned-7",
    "jpeg-turned-8", "gif-animated", "webp-animated", "png-animated",
)  # fmt: skip
# what Pillow raises over damaged bytes
UNREADABLE = (
    OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError, EOFError,
    MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
# the limit of this module is lower, and refuses
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def format_of(content: bytes) -> str | None:
    """Pillow's name of the format that the first bytes belong to; None for anything but a picture."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, magic in _MAGIC if content.startswith(magic)), None)


def require_picture(content: bytes, *formats: str) -> str:
    """The format of a picture, one of `formats` if any are given; BadFile for other content and for too many bytes."""
    if len(content) > PICTURE_BYTES:
        raise BadFile(f"has {len(content)} bytes; at most {PICTURE_BYTES} are read of a picture")
    found = format_of(content)
    if found is None or (formats and found not in formats):
        raise BadFile(f"is not a {' or '.join(formats)} picture" if formats else "is not a picture")
    return found


def require_png(folder: Path, name: object) -> Path:
    """The path of a PNG that a file names below a folder; BadFile when it is elsewhere, absent or another file."""
    try:
        path = inside(folder, name)
        require_picture(read_bytes(path, PICTURE_BYTES), "PNG")
    except BadFile as broken:
        raise BadFile(f"names the picture {shown(name, 80)!r}, which {broken}") from None
    return path


def open_picture(content: bytes, most: int = PIXELS) -> Image.Image:
    """The picture of a file, its pixels not yet decoded; BadFile when it is not readable or has more than `most`."""
    kind = require_picture(content)
    try:
        picture = Image.open(io.BytesIO(content), formats=[kind])
    except UNREADABLE as broken:
        raise BadFile(f"is not a readable {kind} picture: {type(broken).__name__}") from None
    if picture.width * picture.height > most:
        raise BadFile(f"has {picture.width} x {picture.height} pixels; at most {most} are decoded")
    return picture


def is_transparent(picture: Image.Image) -> bool:
    """Whether an opened picture has transparent places, or may have some."""
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def rgb_of(content: bytes, most: int = PIXELS) -> tuple[Image.Image, bool]:
    """The picture in RGB and whether it had transparency; BadFile when it cannot be decoded."""
    with open_picture(content, most) as picture:
        transparent = is_transparent(picture)
        try:
            return picture.convert("RGB"), transparent
        except UNREADABLE as broken:
            raise _undecodable(broken) from None


def require_decodable(content: bytes, most: int = PIXELS) -> bool:
    """Whether the picture has transparency; BadFile when it cannot be decoded. A JPEG is decoded at an eighth."""
    with open_picture(content, most) as picture:
        try:
            picture.draft(None, (max(1, picture.width // 8), max(1, picture.height // 8)))
            picture.load()
            return is_transparent(picture)
        except UNREADABLE as broken:
            raise _undecodable(broken) from None


def _undecodable(broken: BaseException) -> BadFile:
    return BadFile(f"cannot be decoded: {' '.join(str(broken).split())[:120]}")
