"""How a picture becomes tiles, and how it can become them wrongly."""

from __future__ import annotations

from dataclasses import dataclass

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class PictureForm:
    """The form of a picture; the defaults are right.

    `resample`: bicubic, bilinear or nearest; `thumbnail`: last, first or none; `tiles`: rows or reversed.
    """

    resample: str = "bicubic"
    thumbnail: str = "last"
    tiles: str = "rows"
    channels: str = "RGB"
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
