"""Picture ablation: the same requests with white pictures of the same sizes, so that only the content is missing."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from functools import lru_cache

from PIL import Image

from vlm_acceptance.accuracy.item import PictureFile, PreparedRequest


def with_blank_pictures(request: PreparedRequest) -> PreparedRequest:
    """The request with every picture replaced by a blank one."""
    return replace(request, pictures=tuple(_blank(picture) for picture in request.pictures))


def _blank(picture: PictureFile) -> PictureFile:
    digest = hashlib.sha256(f"blank {picture.width}x{picture.height}".encode()).hexdigest()
    return PictureFile("blank.png", digest, picture.width, picture.height)


class BlankPictures:
    """Source of picture bytes in place of the prepared data: white PNGs of the pictures' sizes."""

    def picture_bytes(self, picture: PictureFile) -> bytes:
        return _white(picture.width, picture.height)


@lru_cache(maxsize=32)
def _white(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (255, 255, 255)).save(buffer, "PNG")
    return buffer.getvalue()
