"""Large forms of the capability pictures: enlarged and padded until the served model cuts them into many tiles."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import Image

from vlm_acceptance.cases.pictures import data_url, encoded, freshened_url
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.tiles import TileRule, picture_tokens, tiles

# the sizes for a model whose tile rule is not known: those of InternVL2
USUAL = TileRule(tile_px=448, tokens_per_tile=256, min_tiles=1, max_tiles=12, thumbnail=True)
FEWEST_TILES, MOST_TILES = 6, 12
# the picture is as large as the shorter side allows; a grid of one row would shrink it
SHORT_SIDE = 2
# a longer grid is mostly padding, and squeezes the thumbnail
LONGEST_RATIO = 2
# the form of pictures that must be of one size
SIMILAR = 0


@lru_cache
def grids(rule: TileRule | None) -> tuple[tuple[int, int], ...]:
    """Columns and rows of the large forms, fewest tiles first; empty for a model that never cuts a picture so."""
    rule = rule or USUAL
    sides = range(SHORT_SIDE, MOST_TILES // SHORT_SIDE + 1)
    found = [
        (columns, rows)
        for columns in sides
        for rows in sides
        if FEWEST_TILES <= columns * rows <= MOST_TILES
        and max(columns, rows) <= LONGEST_RATIO * min(columns, rows)
        and tiles(columns * rule.tile_px, rows * rule.tile_px, rule) == columns * rows + rule.thumbnail
    ]
    return tuple(sorted(found, key=lambda grid: (grid[0] * grid[1], -grid[0])))


def size_of(rule: TileRule | None, number: int) -> tuple[int, int]:
    """Width and height in pixels of the large form with this number; ValueError if the model has no large form."""
    possible = grids(rule)
    if not possible:
        raise ValueError(f"no picture is cut into {FEWEST_TILES} to {MOST_TILES} tiles by {rule}")
    side = (rule or USUAL).tile_px
    columns, rows = possible[number % len(possible)]
    return columns * side, rows * side


def large_picture(path: Path, rule: TileRule | None, number: int) -> Image.Image:
    """The picture in the middle of the grid with this number, as large as it fits, padded with its border colour."""
    width, height = size_of(rule, number)
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    scale = min(width / picture.width, height / picture.height)
    fitted = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    whole = Image.new("RGB", (width, height), picture.getpixel((0, 0)))
    whole.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return whole


@lru_cache(maxsize=256)
def large_url(path: Path, rule: TileRule | None, number: int) -> str:
    """The large form as the data URL of a PNG."""
    return data_url("image/png", encoded(large_picture(path, rule, number), "PNG"))


def most_tokens(rule: TileRule | None) -> int:
    """Prompt tokens of the largest form; 0 if the model has no large form."""
    return max((picture_tokens(*size_of(rule, number), rule or USUAL) for number in range(len(grids(rule)))), default=0)


def forms(question: Question) -> list[tuple[Picture, int]]:
    """Every large form that a run sends: each picture in the form of its own place, and all in the form SIMILAR."""
    return [(picture, number) for place, picture in enumerate(question.pictures) for number in sorted({SIMILAR, place})]


def own_urls(question: Question, rule: TileRule | None) -> list[str]:
    """The question's pictures, each in the form of its own place, so that the sizes vary."""
    return [large_url(picture.path, rule, place) for place, picture in enumerate(question.pictures)]


def fresh_urls(question: Question, rule: TileRule | None, count: int, chance: Chance) -> list[str]:
    """`count` pictures of the most tiles among the own forms, new to every cache."""
    areas = [width * height for width, height in (size_of(rule, place) for place in range(len(question.pictures)))]
    places = [place for place, area in enumerate(areas) if area == max(areas)]
    chosen = [places[number % len(places)] for number in range(count)]
    return [freshened_url(large_picture(question.pictures[place].path, rule, place), chance) for place in chosen]
