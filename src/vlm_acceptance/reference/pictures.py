"""How a picture becomes the tiles that the network sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.reference.picture_form import PictureForm

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


def grid(width: int, height: int, rule: TileRule) -> tuple[int, int]:
    """Columns and rows of tiles: the closest ratio; among equals the largest of which the picture fills more than half.

    The rule of vLLM's InternVL processor and of the model's authors.
    """
    sides = range(1, rule.max_tiles + 1)
    grids = [(i, j) for i in sides for j in sides if rule.min_tiles <= i * j <= rule.max_tiles]
    best, nearest = (1, 1), float("inf")
    for columns, rows in sorted(grids, key=lambda each: each[0] * each[1]):
        distance = abs(width / height - columns / rows)
        roomy = width * height > 0.5 * rule.tile_px**2 * columns * rows
        if distance < nearest or (distance == nearest and roomy):
            best, nearest = (columns, rows), distance
    return best


def tiles(picture: Picture, rule: TileRule, form: PictureForm) -> list[Picture]:
    """The tiles row by row, and the whole picture as one more if there are several; RGB."""
    picture = picture.convert("RGB")
    columns, rows = grid(*picture.size, rule)
    side, resample = rule.tile_px, RESAMPLING[form.resample]
    whole = picture.resize((columns * side, rows * side), resample)
    corners = [(column * side, row * side) for row in range(rows) for column in range(columns)]
    cut = [whole.crop((x, y, x + side, y + side)) for x, y in corners]
    if form.tiles == "reversed":
        cut.reverse()
    if rule.thumbnail and len(cut) > 1 and form.thumbnail != "none":
        small = picture.resize((side, side), resample)
        cut = [small, *cut] if form.thumbnail == "first" else [*cut, small]
    return cut


def pixels(picture: Picture, rule: TileRule, form: PictureForm) -> Tensor:
    """Normalised tiles, (tiles, 3, side, side), in float32."""
    side = rule.tile_px
    raw = torch.stack(
        [
            torch.frombuffer(bytearray(tile.tobytes()), dtype=torch.uint8).view(side, side, 3)
            for tile in tiles(picture, rule, form)
        ]
    )
    if form.channels == "BGR":
        raw = raw.flip(-1)
    scaled = raw.permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(form.mean).view(3, 1, 1)) / torch.tensor(form.std).view(3, 1, 1)
