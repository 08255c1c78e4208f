"""Letters as bitmaps: shipped, so that a text has the same pixels on every machine."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image

from vlm_acceptance.config.paths import ROOT

FOLDER = ROOT / "fixtures" / "glyphs"
# pixels a side of a cell of the sheet; cells in one of its rows
CELL, IN_ROW = 112, 16
Colour = tuple[int, int, int]


@lru_cache
def _cells() -> dict[str, Image.Image]:
    """Every letter as a mask: 255 where there is ink."""
    characters = (FOLDER / "characters.txt").read_text("utf-8").split()
    with Image.open(FOLDER / "glyphs.png") as opened:
        sheet = opened.convert("L").point(lambda value: 255 - value)
    found = {}
    for place, character in enumerate(characters):
        left, top = CELL * (place % IN_ROW), CELL * (place // IN_ROW)
        found[character] = sheet.crop((left, top, left + _columns(character) * CELL // 2, top + CELL))
    return found


def _columns(character: str) -> int:
    return 1 if character.isascii() else 2


def columns(text: str) -> int:
    """Width of a text in units: one for a Latin letter or a digit, two for a Chinese character."""
    return sum(map(_columns, text))


@lru_cache(maxsize=1024)
def _mask(character: str, unit: int) -> Image.Image:
    """The letter `unit` or `2 * unit` pixels wide and `2 * unit` high; KeyError for a letter that is not shipped."""
    cell = _cells()[character]
    factor, rest = divmod(CELL, 2 * unit)
    if factor and not rest:
        return cell.reduce(factor)
    return cell.resize((_columns(character) * unit, 2 * unit), Image.Resampling.BOX)


def write(image: Image.Image, place: tuple[int, int], text: str, unit: int, ink: Colour) -> None:
    """Write a text into the picture, its upper left corner at `place` in pixels; blanks are left out."""
    left, top = place
    for character in text:
        if character != " ":
            image.paste(ink, (left, top), _mask(character, unit))
        left += _columns(character) * unit
