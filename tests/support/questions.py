"""Synthetic items, with pictures that are only names and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from vlm_acceptance.accuracy.item import CHOICE, OPEN, Item, Picture, PictureFile


def stored(name: str, width: int = 300, height: int = 200) -> PictureFile:
    """A picture file whose hash is its name."""
    return PictureFile(f"pictures/{name}.png", name, width, height)


def picture(slot: int, *variants: str) -> Picture:
    """A picture in a slot, with variants of these names."""
    return Picture(slot, stored(f"p{slot}"), MappingProxyType({name: stored(f"p{slot}-{name}") for name in variants}))


def pictures(count: int) -> tuple[Picture, ...]:
    """Pictures as preparation makes them: the first with a doubled copy, the others with a copy of one tile."""
    return tuple(picture(slot, "x2" if slot == 1 else "square448") for slot in range(1, count + 1))


def choice(
    *options: str, gold: str = "A", question: str = "Which?", shown: int = 0, ident: str = "validation_Math_1"
) -> Item:
    """A question with options; `shown` is the number of its pictures."""
    return Item(ident, ident.split("_", 1)[1].rsplit("_", 1)[0], CHOICE, question, options, (gold,), pictures(shown))


def opened(*golds: str, question: str = "How many?", shown: int = 0, ident: str = "validation_Math_2") -> Item:
    """An open question; `shown` is the number of its pictures."""
    return Item(ident, ident.split("_", 1)[1].rsplit("_", 1)[0], OPEN, question, (), golds, pictures(shown))


def hashes(files: Sequence[PictureFile]) -> list[str]:
    """The hashes of stored pictures."""
    return [file.sha256 for file in files]
