"""Kinds of picture files that clients upload: every one of them shows the same picture, or must be refused readably."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image, ImageChops, ImageCms

from vlm_acceptance.cases.glyphs import Colour
from vlm_acceptance.cases.pictures import JPEG, data_url, encoded
from vlm_acceptance.core.chance import Chance

BLACK = (0, 0, 0)
HALF = 128
# the tag of EXIF
ORIENTATION = 0x0112
FRAME_MS = 500
# first column, first row, steps of the seven passes of an interlaced PNG
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# EXIF orientation -> how a picture is stored that a viewer shows upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
Shown = Sequence[Image.Image]
GREY: Mapping[str, Any] = {"is_grey": True}
RARE: Mapping[str, Any] = {"may_be_refused": True}


@dataclass(frozen=True, slots=True)
class PictureKind:
    """A kind of file. `file` makes it of the picture to be read and of another one, which only animations hold.

    `what` are words for a report. It must be read, or be refused readably if it `may_be_refused`. `is_grey`: it has no
    colours. `known` is its name in known_issues.yaml.
    """

    name: str
    group: str
    what: str
    mime: str
    file: Callable[[Shown], bytes]
    may_be_refused: bool = False
    is_grey: bool = False
    known: str = ""

    def url(self, shown: Shown) -> str:
        """The file as a data URL."""
        return data_url(f"image/{self.mime}", self.file(shown))


def _one(
    kind: str, change: Callable[[Image.Image], Image.Image] = lambda p: p, /, **options: object
) -> Callable[[Shown], bytes]:
    """A file with one picture in a format of Pillow."""
    return lambda shown: encoded(change(shown[0]), kind, **options)


def paper_of(picture: Image.Image) -> tuple[int, int, int]:
    """The colour of the paper of an RGB picture: that of its upper left corner."""
    red, green, blue = picture.crop((0, 0, 1, 1)).tobytes()
    return red, green, blue


def _inked(picture: Image.Image) -> Image.Image:
    """A mask: 255 where the picture differs from its paper."""
    unlike = ImageChops.difference(picture, Image.new("RGB", picture.size, paper_of(picture)))
    red, green, blue = unlike.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue).point(lambda value: 255 * (value > 0))


def cut_out(picture: Image.Image, hidden: Colour | None = None) -> Image.Image:
    """The picture on transparent paper; `hidden` is the colour of its transparent pixels, by default the paper's."""
    mask = _inked(picture)
    shown = picture if hidden is None else Image.composite(picture, Image.new("RGB", picture.size, hidden), mask)
    shown = shown.convert("RGBA")
    shown.putalpha(mask)
    return shown


def _black_under(picture: Image.Image) -> Image.Image:
    return cut_out(picture, BLACK)


def _grey_alpha(picture: Image.Image, hidden: Colour | None = None) -> Image.Image:
    return cut_out(picture, hidden).convert("LA")


def _palette_with_transparency(shown: Shown, hidden: Colour | None = None) -> bytes:
    """A palette whose last colour, that of the paper, is transparent."""
    picture = shown[0]
    paper = paper_of(picture)
    palette = picture.quantize(255)
    colours = (palette.getpalette() or [])[: 255 * 3]
    colours += [0] * (255 * 3 - len(colours)) + list(hidden or paper)
    palette.paste(255, mask=_inked(picture).point(lambda value: 255 - value))
    palette.putpalette(colours)
    return encoded(palette, "PNG", transparency=255)


def _grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L")


def _cmyk(picture: Image.Image) -> Image.Image:
    return picture.convert("CMYK")


def _grey_16(picture: Image.Image) -> Image.Image:
    # high byte and low byte are equal: 0 to 65535
    doubled = bytes(value for value in picture.convert("L").tobytes() for _ in range(2))
    return Image.frombytes("I;16", picture.size, doubled)


def _one_bit(picture: Image.Image) -> Image.Image:
    return picture.convert("L").point(lambda value: 255 * (value >= HALF)).convert("1", dither=Image.Dither.NONE)


def _interlaced(shown: Shown) -> bytes:
    """A PNG in seven passes (Adam7), which Pillow does not write."""
    picture = shown[0].convert("RGB")
    rows = bytearray()
    for left, top, right_by, down_by in PASSES:
        columns, lines = range(left, picture.width, right_by), range(top, picture.height, down_by)
        if not columns or not lines:
            continue
        for line in lines:
            # each row begins with its filter: none
            row = picture.crop((0, line, picture.width, line + 1)).tobytes()
            rows += b"\0" + b"".join(row[3 * column : 3 * column + 3] for column in columns)
    return _png(picture.size, bytes(rows), bits=8, passes=1)


def _rgb_16(shown: Shown) -> bytes:
    """A PNG of 16 bits a colour, which Pillow does not write: high byte and low byte are equal."""
    picture = shown[0].convert("RGB")
    content, width = picture.tobytes(), 3 * picture.width
    doubled = bytes(value for value in content for _ in range(2))
    rows = b"".join(b"\0" + doubled[2 * width * line : 2 * width * (line + 1)] for line in range(picture.height))
    return _png(picture.size, rows, bits=16, passes=0)


def _png(size: tuple[int, int], rows: bytes, *, bits: int, passes: int) -> bytes:
    """An RGB PNG of rows that each begin with their filter."""
    header = struct.pack(">IIBBBBB", *size, bits, 2, 0, 0, passes)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _colour_key(shown: Shown) -> bytes:
    """A PNG without an alpha channel in which the colour of the paper is transparent."""
    return encoded(shown[0], "PNG", transparency=paper_of(shown[0]))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


# bytes of the header: year, month, day, hour, minute, second
_PROFILE_TIME = slice(24, 36)


@lru_cache
def _colour_profile() -> bytes:
    """The ICC profile of sRGB, always the same bytes: its header has the time at which it is made."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made[: _PROFILE_TIME.start] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + made[_PROFILE_TIME.stop :]


def _with_profile(kind: str, **options: object) -> Callable[[Shown], bytes]:
    return lambda shown: encoded(shown[0], kind, icc_profile=_colour_profile(), **options)


def _turned(orientation: int) -> Callable[[Shown], bytes]:
    """Stored turned, with the EXIF orientation that corrects it: as telephones store photos."""

    def file(shown: Shown) -> bytes:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        return encoded(shown[0].transpose(TURNS[orientation]), "JPEG", **JPEG, exif=exif)

    return file


def _animated(kind: str, **options: object) -> Callable[[Shown], bytes]:
    """The picture to be read in the first frame, another one in the second."""

    def file(shown: Shown) -> bytes:
        first, second = shown
        return encoded(first, kind, save_all=True, append_images=[second], duration=FRAME_MS, loop=0, **options)

    return file


# group -> rows: name, words for a report, format of the data URL, file, and what differs from the usual
_ROWS: Mapping[str, tuple[tuple[str, str, str, Callable[[Shown], bytes], Mapping[str, Any]], ...]] = {
    "png": (
        ("png-grey", "a grey PNG", "png", _one("PNG", _grey), GREY),
        ("png-1-bit", "a PNG of 1 bit a pixel", "png", _one("PNG", _one_bit), GREY),
        ("png-palette", "a PNG with a palette", "png", _one("PNG", lambda p: p.quantize(256)), {}),
        ("png-interlaced", "an interlaced PNG", "png", _interlaced, {}),
        ("png-profile", "a PNG with an ICC colour profile", "png", _with_profile("PNG"), {}),
        ("png-grey-16", "a grey PNG of 16 bits a pixel", "png", _one("PNG", _grey_16),
         {**GREY, **RARE, "known": "upload-grey-16"}),
        ("png-rgb-16", "a PNG of 16 bits a colour", "png", _rgb_16, {}),
        ("png-palette-4", "a PNG with a palette of 16 colours, 4 bits a pixel", "png",
         _one("PNG", lambda p: p.quantize(16)), {}),
    ),
    "jpeg": (
        ("jpeg", "a JPEG with reduced colours (4:2:0)", "jpeg", _one("JPEG", quality=90), {}),
        ("jpeg-progressive", "a progressive JPEG", "jpeg", _one("JPEG", **JPEG, progressive=True), {}),
        ("jpeg-grey", "a grey JPEG", "jpeg", _one("JPEG", _grey, quality=95), GREY),
        ("jpeg-cmyk", "a CMYK JPEG", "jpeg", _one("JPEG", _cmyk, **JPEG), {}),
        ("jpeg-profile", "a JPEG with an ICC colour profile", "jpeg", _with_profile("JPEG", **JPEG), {}),
    ),
    "other": (
        ("webp", "a WebP", "webp", _one("WEBP", quality=90), {}),
        ("webp-lossless", "a lossless WebP", "webp", _one("WEBP", lossless=True), {}),
        ("gif", "a GIF", "gif", _one("GIF"), {}),
        ("bmp", "a BMP", "bmp", _one("BMP"), RARE),
        ("tiff", "a TIFF", "tiff", _one("TIFF", compression="tiff_lzw"), RARE),
        ("tiff-cmyk", "a CMYK TIFF", "tiff", _one("TIFF", _cmyk), RARE),
    ),
    "transparent": (
        ("png-opaque", "a PNG with an opaque alpha channel", "png", _one("PNG", lambda p: p.convert("RGBA")), {}),
        ("png-cut-out", "a PNG on transparent paper", "png", _one("PNG", cut_out), {}),
        ("png-cut-out-black", "a PNG on transparent paper, black under it", "png", _one("PNG", _black_under), {}),
        ("png-grey-alpha", "a grey PNG on transparent paper", "png", _one("PNG", _grey_alpha), GREY),
        (
            "png-grey-alpha-black", "a grey PNG on transparent paper, black under it", "png",
            _one("PNG", lambda p: _grey_alpha(p, BLACK)), {**GREY, "known": "upload-transparent"},
        ),
        ("png-palette-cut-out", "a PNG with a palette and transparent paper", "png", _palette_with_transparency, {}),
        (
            "png-palette-cut-out-black", "a PNG with a palette and transparent paper, black under it", "png",
            lambda shown: _palette_with_transparency(shown, BLACK), {"known": "upload-transparent"},
        ),
        ("png-colour-key", "a PNG with one transparent colour", "png", _colour_key, {}),
        ("gif-cut-out", "a GIF on transparent paper", "gif", _one("GIF", cut_out), {}),
        (
            "webp-cut-out-black", "a WebP on transparent paper, black under it", "webp",
            _one("WEBP", _black_under, lossless=True, exact=True), {},
        ),
    ),
    "turned": tuple(
        (
            f"jpeg-turned-{turn}", f"a JPEG that is stored turned, with EXIF orientation {turn}", "jpeg",
            _turned(turn), {"known": "upload-turned"},
        )
        for turn in TURNS
    ),
    "animated": (
        ("gif-animated", "an animated GIF", "gif", _animated("GIF"), RARE),
        ("webp-animated", "an animated WebP", "webp", _animated("WEBP", lossless=True), RARE),
        ("png-animated", "an animated PNG", "png", _animated("PNG"), RARE),
    ),
}  # fmt: skip
GROUPS = tuple(_ROWS)
KINDS = tuple(
    PictureKind(name, group, what, mime, file, **more)
    for group, rows in _ROWS.items()
    for name, what, mime, file, more in rows
)


def of_group(group: str) -> tuple[PictureKind, ...]:
    """The kinds of one group."""
    return tuple(kind for kind in KINDS if kind.group == group)


def noise_png(chance: Chance, body_bytes: int) -> tuple[str, tuple[int, int]]:
    """A square PNG that cannot be compressed, as a photo, whose data URL has about so many bytes; and its size."""
    side = int((body_bytes * 3 / 4 / 3) ** 0.5)
    # a digest of any length: a generator of random numbers would take seconds
    pixels = hashlib.shake_128(chance.hex(32).encode()).digest(3 * side * side)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG", compress_level=0)
    return data_url("image/png", buffer.getvalue()), (side, side)
