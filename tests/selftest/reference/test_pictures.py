"""Rules for tiles: they are those of the control's own recipe bit for bit, and every wrong form differs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from vlm_acceptance.config.paths import ROOT  # noqa: E402
from vlm_acceptance.core.tiles import TileRule, tiles  # noqa: E402
from vlm_acceptance.reference.picture_form import PictureForm  # noqa: E402
from vlm_acceptance.reference.pictures import grid, pixels  # noqa: E402

RULE = TileRule(112, 16, 1, 6, thumbnail=True)
LARGE = TileRule(448, 256, 1, 12, thumbnail=True)
RIGHT = PictureForm()
PICTURE = ROOT / "fixtures" / "images" / "ocr" / "sign-1.png"


@pytest.fixture
def architecture(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The network that trained the control, and its preprocessing."""
    monkeypatch.syspath_prepend(str(ROOT / "fixtures" / "control" / "recipe"))
    monkeypatch.delitem(sys.modules, "architecture", raising=False)
    import architecture

    return architecture


def pictures() -> list[Path]:
    return sorted((ROOT / "fixtures" / "images").glob("*/*.png"))[::9]


def coloured() -> Image.Image:
    """500 × 300 pixels: red grows downwards, green to the right, in steps that no resampling keeps."""
    steps = Image.linear_gradient("L").quantize(9).convert("L").resize((500, 300), Image.Resampling.NEAREST)
    across = steps.transpose(Image.Transpose.ROTATE_90).resize((500, 300), Image.Resampling.NEAREST)
    return Image.merge("RGB", (steps, across, Image.new("L", (500, 300), 90)))


def test_tiles_are_those_of_the_recipe_bit_for_bit(architecture: ModuleType) -> None:
    for path in pictures():
        with Image.open(path) as picture:
            assert torch.equal(pixels(picture, RULE, RIGHT), architecture.pixels(picture, architecture.Shape())), path


def test_as_many_tiles_are_cut_as_the_tokens_of_a_picture_say() -> None:
    for width in range(40, 2400, 97):
        for height in range(40, 2400, 89):
            columns, rows = grid(width, height, LARGE)
            count = columns * rows
            assert count + (count > 1) == tiles(width, height, LARGE)


def test_a_wide_picture_is_cut_row_by_row_with_the_whole_one_last() -> None:
    with Image.open(PICTURE) as picture:
        wide = picture.convert("RGB").resize((336, 224))
        cut = pixels(wide, RULE, RIGHT)
        first = pixels(wide.crop((0, 0, 112, 112)), TileRule(112, 16, 1, 1, thumbnail=True), RIGHT)
        small = pixels(wide, TileRule(112, 16, 1, 1, thumbnail=True), RIGHT)

    assert len(cut) == 7
    assert torch.equal(cut[0], first[0])
    assert torch.equal(cut[-1], small[0])


@pytest.mark.parametrize(
    "form",
    [
        PictureForm(resample="bilinear"),
        PictureForm(resample="nearest"),
        PictureForm(tiles="reversed"),
        PictureForm(thumbnail="first"),
        PictureForm(channels="BGR"),
        PictureForm(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ],
)
def test_every_wrong_form_gives_other_pixels_of_the_same_size(form: PictureForm) -> None:
    right, wrong = (pixels(coloured(), RULE, each) for each in (RIGHT, form))

    assert right.shape == wrong.shape
    assert not torch.equal(right, wrong)


def test_tiles_in_other_orders_are_the_same_tiles() -> None:
    with Image.open(PICTURE) as picture:
        right, reverse, first, none = (
            pixels(picture, RULE, form)
            for form in (
                RIGHT,
                PictureForm(tiles="reversed"),
                PictureForm(thumbnail="first"),
                PictureForm(thumbnail="none"),
            )
        )

    assert torch.equal(reverse, torch.cat([right[:-1].flip(0), right[-1:]]))
    assert torch.equal(first, torch.cat([right[-1:], right[:-1]]))
    assert torch.equal(none, right[:-1])


def test_colours_of_the_wrong_order_are_red_and_blue_exchanged() -> None:
    red = Image.new("RGB", (112, 112), (255, 0, 0))

    right, wrong = (pixels(red, RULE, form)[0, :, 0, 0] for form in (RIGHT, PictureForm(channels="BGR")))

    assert right[0] > 2
    assert right[2] < -1
    assert wrong[2] > 2
    assert wrong[0] < -1
