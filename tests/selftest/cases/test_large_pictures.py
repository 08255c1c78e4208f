"""Large forms of pictures: their tiles by the served rule, their print, their padding."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.cases.large_pictures import (
    SIMILAR,
    forms,
    fresh_urls,
    grids,
    large_picture,
    large_url,
    own_urls,
    size_of,
)
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.tiles import TileRule, tiles

INTERNVL2 = TileRule(tile_px=448, tokens_per_tile=256, min_tiles=1, max_tiles=12, thumbnail=True)
CONTROL = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)
BARE = TileRule(448, 256, 1, 12, thumbnail=False)
MANY = TileRule(448, 256, 1, 40, thumbnail=True)
SIGN = ROOT / "fixtures" / "images" / "ocr" / "sign-1.png"


def committed() -> list[Path]:
    """Every picture of a capability question."""
    found = sorted((ROOT / "fixtures" / "images").glob("*/*-[1-8].png"))
    return [path for path in found if path.parent.name not in ("choice", "probe")]


def test_grids_of_the_models_we_ship_profiles_for() -> None:
    assert grids(INTERNVL2) == ((3, 2), (2, 3), (4, 2), (2, 4), (3, 3), (4, 3), (3, 4))
    assert grids(CONTROL) == ((3, 2), (2, 3))


@pytest.mark.parametrize("rule", [INTERNVL2, CONTROL, BARE, MANY])
def test_each_large_form_costs_exactly_its_grid(rule: TileRule) -> None:
    for number, (columns, rows) in enumerate(grids(rule)):
        whole = large_picture(SIGN, rule, number)

        assert whole.size == size_of(rule, number) == (columns * rule.tile_px, rows * rule.tile_px)
        assert tiles(*whole.size, rule) == columns * rows + rule.thumbnail
        assert 6 <= columns * rows <= 12


def test_eight_numbers_hold_the_most_tiles_and_two_of_them_one_grid() -> None:
    sizes = [size_of(INTERNVL2, number) for number in range(8)]

    assert max(tiles(*size, INTERNVL2) for size in sizes) == 13  # 3,328 tokens, more than 2,048 of one batch
    assert sizes[7] == sizes[0]
    assert len(set(sizes)) == 7


def test_a_model_that_cuts_nothing_into_six_tiles_has_no_large_form() -> None:
    rule = TileRule(448, 256, 1, 4, thumbnail=True)

    assert grids(rule) == ()
    with pytest.raises(ValueError, match="no picture is cut into 6 to 12 tiles"):
        size_of(rule, 0)


def test_without_a_rule_the_sizes_are_those_of_internvl2() -> None:
    assert [size_of(None, number) for number in range(9)] == [size_of(INTERNVL2, number) for number in range(9)]


@pytest.mark.parametrize("rule", [INTERNVL2, CONTROL])
def test_print_is_at_least_as_large_in_tiles_as_that_of_the_small_picture(rule: TileRule) -> None:
    """Pixels of print that reach the model, outside the thumbnail: 448 px as one tile, or as 2 x 2 of 112 px."""
    for path in committed():
        with Image.open(path) as small:
            width, height = small.size
        side = rule.tile_px * (1 if tiles(width, height, rule) == 1 else 2)
        for number in range(len(grids(rule))):
            assert min(size_of(rule, number)) >= side


def test_picture_is_in_the_middle_on_its_border_colour(tmp_path: Path) -> None:
    file = tmp_path / "green.png"
    green = Image.new("RGB", (448, 448), (20, 160, 40))
    green.paste((255, 0, 0), (10, 10, 438, 438))
    green.save(file)

    whole = large_picture(file, INTERNVL2, 0)

    edges = [whole.getpixel(place) for place in ((0, 0), (223, 448), (1120, 448), (1343, 895))]
    assert edges == [(20, 160, 40)] * 4
    assert [whole.getpixel(place) for place in ((300, 448), (1043, 448))] == [(255, 0, 0)] * 2


def test_picture_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    file = tmp_path / "wide.png"
    wide = Image.new("RGB", (200, 100), (0, 0, 255))
    wide.paste((255, 255, 255), (0, 0, 1, 1))
    wide.save(file)

    whole = large_picture(file, INTERNVL2, 0)

    blue = whole.convert("RGB").point(lambda value: 255 if value < 128 else 0).getchannel(0).getbbox()
    assert blue is not None
    assert (blue[2] - blue[0]) / (blue[3] - blue[1]) == pytest.approx(2, abs=0.02)


def test_large_form_is_the_same_bytes_every_time_and_an_rgb_png() -> None:
    url = large_url(SIGN, INTERNVL2, 5)
    large_url.cache_clear()

    assert large_url(SIGN, INTERNVL2, 5) == url
    content = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as read:
        assert (read.format, read.mode, read.size) == ("PNG", "RGB", (1792, 1344))


def test_every_border_of_a_committed_picture_has_one_colour() -> None:
    for path in committed():
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        width, height = picture.size
        lines = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]

        assert {colour for line in lines for colour in (picture.crop(line).getcolors() or [])} == {
            (448, picture.getpixel((0, 0)))
        }


def test_fresh_pictures_are_of_the_most_tiles_and_new_to_every_cache() -> None:
    question = load_categories(ROOT / "fixtures" / "cases", ROOT / "fixtures" / "images")[0].questions[0]

    chance = Chance(1)
    urls = fresh_urls(question, INTERNVL2, 4, chance)

    assert len({*urls, *fresh_urls(question, INTERNVL2, 4, chance)}) == 8
    assert urls == fresh_urls(question, INTERNVL2, 4, Chance(1))
    assert [png(url).size for url in urls] == [(1792, 1344), (1344, 1792)] * 2
    drawn, plain = png(urls[0]), large_picture(question.pictures[5].path, INTERNVL2, 5)
    drawn.paste((255, 255, 255), (0, 0, 1, 1))
    for corner in ((0, 0), (1791, 0), (0, 1343), (1791, 1343)):
        assert min(drawn.getpixel(corner)) >= 240  # type: ignore[type-var,arg-type]
        drawn.putpixel(corner, (255, 255, 255))
    assert drawn.tobytes() == plain.tobytes()


def png(url: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as read:
        return read.convert("RGB")


def test_a_question_is_sent_in_every_size_and_once_more_in_one() -> None:
    question = load_categories(ROOT / "fixtures" / "cases", ROOT / "fixtures" / "images")[0].questions[0]

    sent = forms(question)

    assert [number for picture, number in sent if picture is question.pictures[0]] == [0]
    assert [number for picture, number in sent if picture is question.pictures[5]] == [SIMILAR, 5]
    assert own_urls(question, CONTROL)[3] == large_url(question.pictures[3].path, CONTROL, 3)
