"""Tiles and tokens of a picture. The sizes were computed with vLLM's own processor."""

from __future__ import annotations

import pytest

from vlm_acceptance.core.tiles import TileRule, picture_tokens, tiles

INTERNVL2 = TileRule(tile_px=448, tokens_per_tile=256, min_tiles=1, max_tiles=12, thumbnail=True)
CONTROL = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)

# width, height, image tokens without the two that wrap them
INTERNVL2_TOKENS = [
    (1, 1, 256),
    (448, 448, 256),
    (512, 512, 256),
    (633, 633, 256),
    (634, 634, 1280),
    (896, 448, 768),
    (448, 896, 768),
    (896, 896, 1280),
    (1280, 720, 2304),
    (1920, 1080, 2304),
    (640, 480, 3328),
    (800, 600, 3328),
    (1024, 768, 3328),
    (4000, 3000, 3328),
    (3000, 100, 3328),
    (100, 3000, 3328),
]
CONTROL_TILES = [
    (1, 1, 1),
    (112, 112, 1),
    (140, 140, 1),
    (158, 158, 1),
    (159, 159, 5),
    (448, 448, 5),
    (448, 224, 3),
    (448, 672, 7),
    (672, 448, 7),
    (100, 400, 5),
]


@pytest.mark.parametrize(("width", "height", "tokens"), INTERNVL2_TOKENS)
def test_tokens_of_internvl2_are_those_of_vllm(width: int, height: int, tokens: int) -> None:
    assert picture_tokens(width, height, INTERNVL2) == tokens + 2


@pytest.mark.parametrize(("width", "height", "count"), CONTROL_TILES)
def test_tiles_of_the_control_are_those_of_vllm(width: int, height: int, count: int) -> None:
    assert tiles(width, height, CONTROL) == count


def test_without_a_thumbnail_only_the_grid_counts() -> None:
    bare = TileRule(448, 256, 1, 12, thumbnail=False)

    assert [tiles(896, 896, bare), tiles(448, 448, bare)] == [4, 1]


def test_with_one_tile_at_most_every_picture_is_one_tile() -> None:
    assert tiles(1920, 1080, TileRule(448, 256, 1, 1, thumbnail=True)) == 1


def test_a_wrong_tile_side_changes_the_count() -> None:
    assert tiles(512, 512, CONTROL) != tiles(512, 512, INTERNVL2)


def test_limits_that_allow_no_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="allow no grid"):
        TileRule(448, 256, 4, 1, thumbnail=True)
