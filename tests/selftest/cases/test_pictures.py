"""Every format of a picture has its kind of file, and the lossless ones hold the same pixels."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from vlm_acceptance.cases.pictures import LOSSLESS, ORIENTATION, OTHER, bare_url, format_url
from vlm_acceptance.run.inputs import IMAGES

SIGN = IMAGES / "ocr" / "sign-1.png"
EXPECTED = {
    "rgb": ("PNG", "RGB"),
    "rgba": ("PNG", "RGBA"),
    "palette": ("PNG", "P"),
    "grey": ("PNG", "L"),
    "grey-16": ("PNG", "I;16"),
    "transparent": ("PNG", "RGBA"),
    "jpeg-progressive": ("JPEG", "RGB"),
    "jpeg-turned": ("JPEG", "RGB"),
    "webp": ("WEBP", "RGB"),
}


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.fixture
def sign() -> Image.Image:
    with Image.open(SIGN) as picture:
        return picture.convert("RGB")


def test_every_format_is_tested() -> None:
    assert {*LOSSLESS, *OTHER} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_format_has_its_kind_of_file(name: str) -> None:
    url = format_url(SIGN, name)
    picture = opened(url)
    kind, mode = EXPECTED[name]
    assert (picture.format, picture.size) == (kind, (448, 448))
    assert picture.mode in (mode, "I") if name == "grey-16" else picture.mode == mode
    assert url.startswith(f"data:image/{kind.lower()};base64,")


@pytest.mark.parametrize("name", [*LOSSLESS, "webp"])
def test_lossless_formats_hold_the_same_pixels(name: str, sign: Image.Image) -> None:
    assert opened(format_url(SIGN, name)).convert("RGB").tobytes() == sign.tobytes()


def test_the_other_formats_differ_as_named(sign: Image.Image) -> None:
    assert opened(format_url(SIGN, "jpeg-progressive")).info["progressive"]
    turned = opened(format_url(SIGN, "jpeg-turned"))
    assert turned.getexif()[ORIENTATION] == 6
    alpha = opened(format_url(SIGN, "transparent")).getchannel("A")
    assert (alpha.getpixel((10, 10)), alpha.getpixel((400, 10))) == (255, 0)
    wide = opened(format_url(SIGN, "grey-16"))
    assert wide.getpixel((224, 224)) == sign.convert("L").getpixel((224, 224)) * 257


def test_a_bare_picture_has_its_size() -> None:
    assert opened(bare_url(4000, 8)).size == (4000, 8)
