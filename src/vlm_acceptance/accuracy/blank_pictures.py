"""Pictures of one colour: white ones for the picture ablation, where only the content is missing, and small ones."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from functools import lru_cache

from PIL import Image

from vlm_acceptance.accuracy.item import PictureFile, PreparedRequest

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
# vLLM 0.18 answers a picture that /tokenize saw first with an error in every later chat: no other request has these
TOKENIZED: Colour = (37, 91, 203)
COUNTED_BY_CHAT: Colour = (203, 91, 37)


def with_blank_pictures(request: PreparedRequest) -> PreparedRequest:
    """The request with every picture replaced by a blank one."""
    return replace(request, pictures=tuple(blank(picture.width, picture.height) for picture in request.pictures))


def blank(width: int, height: int) -> PictureFile:
    """A picture of this size in pixels whose bytes come from BlankPictures."""
    digest = hashlib.sha256(f"blank {width}x{height}".encode()).hexdigest()
    return PictureFile("blank.png", digest, width, height)


class BlankPictures:
    """Source of picture bytes in place of the prepared data: PNGs of the pictures' sizes in one colour."""

    def __init__(self, colour: Colour = WHITE) -> None:
        self._colour = colour

    def picture_bytes(self, picture: PictureFile) -> bytes:
        return _plain(picture.width, picture.height, self._colour)


@lru_cache(maxsize=32)
def _plain(width: int, height: int, colour: Colour) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
