"""Every kind of picture file has its format, and a decoder that shows it as a viewer does sees the same picture."""

from __future__ import annotations

import base64
import io
import time

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from vlm_acceptance.cases import picture_kinds
from vlm_acceptance.cases.challenge_pictures import coloured_numbers
from vlm_acceptance.cases.picture_kinds import GROUPS, KINDS, PictureKind, cut_out, noise_png, of_group, paper_of
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.pictures import PICTURE_KINDS

WHITE = (255, 255, 255)
# mean difference of a grey value: JPEG and a palette of 256 colours change little
NEARLY = 3.0
MODES = {
    "png-grey": "L", "png-1-bit": "1", "png-palette": "P", "png-palette-4": "P", "png-rgb-16": "RGB",
    "png-colour-key": "RGB", "png-grey-16": "I;16", "jpeg-grey": "L", "jpeg-cmyk": "CMYK",
    "gif": "P", "tiff-cmyk": "CMYK", "png-opaque": "RGBA", "png-cut-out": "RGBA", "png-cut-out-black": "RGBA",
    "png-grey-alpha": "LA", "png-grey-alpha-black": "LA", "png-palette-cut-out": "P", "png-palette-cut-out-black": "P",
    "gif-cut-out": "P", "webp-cut-out-black": "RGBA", "gif-animated": "P",
}  # fmt: skip


@pytest.fixture(scope="module")
def numbers() -> list[Image.Image]:
    return [one.image for one in coloured_numbers("selftest", 2, 112)]


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def as_shown(content: bytes, paper: tuple[int, int, int] = WHITE) -> Image.Image:
    """The first frame as a viewer shows it, on paper."""
    picture = ImageOps.exif_transpose(opened(content))
    if picture.mode == "I;16":
        return Image.frombytes("L", picture.size, picture.tobytes()[1::2]).convert("RGB")
    if picture.mode in ("RGBA", "LA") or "transparency" in picture.info:
        shown = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, (*paper, 255)), shown).convert("RGB")
    return picture.convert("RGB")


def apart(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_every_kind_has_a_name_of_the_profile() -> None:
    assert tuple(kind.name for kind in KINDS) == PICTURE_KINDS
    assert [kind for group in GROUPS for kind in of_group(group)] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_what_its_words_say(kind: PictureKind, numbers: list[Image.Image]) -> None:
    content = kind.file(numbers)
    assert kind.url(numbers) == f"data:image/{kind.mime};base64,{base64.b64encode(content).decode()}"
    picture = opened(content)
    assert (picture.format, picture.size) == (kind.mime.upper(), numbers[0].size)
    assert picture.mode == MODES.get(kind.name, picture.mode)
    assert bool(picture.info.get("interlace")) == (kind.name == "png-interlaced")
    assert ("icc_profile" in picture.info) == kind.name.endswith("-profile")
    assert bool(picture.info.get("progressive")) == (kind.name == "jpeg-progressive")
    assert getattr(picture, "n_frames", 1) == (2 if kind.group == "animated" else 1)
    assert picture.getexif().get(0x0112, 1) == int(kind.name[-1] if kind.group == "turned" else 1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_viewer_sees_the_same_picture_in_every_kind(kind: PictureKind, numbers: list[Image.Image]) -> None:
    wanted, paper = numbers[0], paper_of(numbers[0])
    if kind.is_grey:
        paper = paper_of(numbers[0].convert("L").convert("RGB"))
        wanted = wanted.convert("L").convert("RGB")
    if kind.name == "png-1-bit":
        wanted = wanted.convert("L").point(lambda value: 255 * (value >= 128)).convert("RGB")
    seen = as_shown(kind.file(numbers), paper)
    assert apart(seen, wanted) < NEARLY
    assert apart(seen, numbers[1]) > NEARLY


@pytest.mark.parametrize("name", ["png-cut-out-black", "png-grey-alpha-black", "png-palette-cut-out-black"])
def test_under_transparent_paper_is_black_where_the_name_says_so(name: str, numbers: list[Image.Image]) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    picture = opened(kind.file(numbers))
    corner = picture.convert("RGBA").getpixel((0, 0))
    assert corner == (0, 0, 0, 0)


def test_a_cut_out_keeps_the_colour_of_its_paper() -> None:
    picture = Image.new("RGB", (4, 4), (255, 250, 240))
    picture.putpixel((2, 2), (0, 0, 200))
    cut = cut_out(picture)
    assert cut.getpixel((0, 0)) == (255, 250, 240, 0)
    assert cut.getpixel((2, 2)) == (0, 0, 200, 255)


@pytest.mark.parametrize("megabytes", [2, 8])
def test_noise_has_about_the_size_asked_for(megabytes: int) -> None:
    url, size = noise_png(Chance(1), megabytes * 1_000_000)
    assert abs(len(url) / (megabytes * 1_000_000) - 1) < 0.02
    picture = opened(base64.b64decode(url.partition(",")[2]))
    assert picture.size == size
    assert noise_png(Chance(1), megabytes * 1_000_000)[0] == url
    assert noise_png(Chance(2), megabytes * 1_000_000)[0] != url


def test_coloured_numbers_are_red_and_blue_in_turn() -> None:
    drawn = coloured_numbers("a seed", 4, 112)
    assert [one.parts[1][0] for one in drawn] == ["red", "blue"] * 2
    assert len({one.parts[0][0] for one in drawn}) == 4
    assert drawn == coloured_numbers("a seed", 4, 112)


def test_sixteen_bits_and_four_bits_are_what_they_say(numbers: list[Image.Image]) -> None:
    depth = {kind.name: kind.file(numbers)[24] for kind in KINDS if kind.mime == "png"}
    assert (depth["png-rgb-16"], depth["png-grey-16"], depth["png-palette-4"], depth["png-1-bit"]) == (16, 16, 4, 1)


def test_a_file_is_the_same_in_every_run() -> None:
    picture = Image.new("RGB", (64, 48), (10, 200, 30))
    before = {kind.name: kind.url((picture, picture)) for kind in KINDS}
    picture_kinds._colour_profile.cache_clear()
    time.sleep(1.1)  # a profile has the second at which it was made
    assert {kind.name: kind.url((picture, picture)) for kind in KINDS} == before
