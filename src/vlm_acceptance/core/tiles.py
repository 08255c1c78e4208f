"""How many prompt tokens a picture costs an InternVL model: an exact oracle that the whole picture was read.

The rule is that of vLLM's InternVL processor: the grid of tiles whose aspect ratio is closest, plus a thumbnail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

# no model is near them; the grids of more tiles than this are not listed in reasonable time
MOST_TILE_PX = 4096
MOST_TILE_TOKENS = 1 << 16
MOST_TILES = 256


@dataclass(frozen=True, slots=True)
class TileRule:
    """Constants of a model: tile side in pixels, tokens per tile, limits of the grid, tokens around a picture."""

    tile_px: int
    tokens_per_tile: int
    min_tiles: int
    max_tiles: int
    thumbnail: bool
    wrapper_tokens: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.min_tiles <= self.max_tiles:
            raise ValueError(f"min_tiles {self.min_tiles} and max_tiles {self.max_tiles} allow no grid")


def tiles(width: int, height: int, rule: TileRule) -> int:
    """Number of tiles of a picture of this size in pixels, thumbnail included."""
    nearest, count = float("inf"), 1
    for wide, high in _grids(rule.min_tiles, rule.max_tiles):
        distance = abs(width / height - wide / high)
        # Between equally close grids the larger one needs a picture of more than half its area.
        roomy = width * height > 0.5 * rule.tile_px * rule.tile_px * wide * high
        if distance < nearest or (distance == nearest and roomy):
            nearest, count = distance, wide * high
    return count + 1 if rule.thumbnail and count > 1 else count


def picture_tokens(width: int, height: int, rule: TileRule) -> int:
    """Prompt tokens of one picture: its tiles and the tokens around it, without line breaks."""
    return tiles(width, height, rule) * rule.tokens_per_tile + rule.wrapper_tokens


@lru_cache
def _grids(fewest: int, most: int) -> tuple[tuple[int, int], ...]:
    sides = range(1, most + 1)
    grids = [(wide, high) for wide in sides for high in sides if fewest <= wide * high <= most]
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))
