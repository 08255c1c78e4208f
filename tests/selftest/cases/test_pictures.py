"""Pictures as data URLs have the size that was asked for."""

from __future__ import annotations

import base64
import io

from PIL import Image

from vlm_acceptance.cases.pictures import bare_url


def test_a_bare_picture_has_its_size() -> None:
    with Image.open(io.BytesIO(base64.b64decode(bare_url(4000, 8).partition(",")[2]))) as picture:
        assert picture.size == (4000, 8)
