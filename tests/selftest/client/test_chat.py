"""Chat requests: pictures as they are on disk, text last, greedy unless a parameter changes that."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from PIL import Image

from vlm_acceptance.cases.pictures import jpeg_url, png_url
from vlm_acceptance.client.chat import chat, chat_body, get, plain_url, user_message
from vlm_acceptance.core.exchange import CHAT

PICTURE = next((Path(__file__).resolve().parents[3] / "fixtures" / "images" / "ocr").glob("*.png"))


def decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2], validate=True)


def test_a_png_is_sent_byte_for_byte() -> None:
    assert png_url(PICTURE).startswith("data:image/png;base64,")
    assert decoded(png_url(PICTURE)) == PICTURE.read_bytes()


def test_a_jpeg_shows_the_same_picture_at_the_same_size() -> None:
    with Image.open(PICTURE) as png, Image.open(io.BytesIO(decoded(jpeg_url(PICTURE)))) as jpeg:
        assert (jpeg.format, jpeg.size, jpeg.mode) == ("JPEG", png.size, "RGB")
        pairs = zip(png.convert("RGB").resize((16, 16)).tobytes(), jpeg.resize((16, 16)).tobytes(), strict=True)
        assert max(abs(a - b) for a, b in pairs) < 16


def test_a_plain_picture_has_its_size_and_one_colour() -> None:
    with Image.open(io.BytesIO(decoded(plain_url(30, 20, (255, 0, 0))))) as picture:
        assert (picture.size, picture.getcolors()) == ((30, 20), [(600, (255, 0, 0))])


def test_a_message_without_pictures_is_plain_text() -> None:
    assert user_message("hello") == {"role": "user", "content": "hello"}


def test_pictures_come_before_the_text() -> None:
    kinds = [part["type"] for part in user_message("hello", ("u1", "u2"))["content"]]
    assert kinds == ["image_url", "image_url", "text"]


def test_a_request_is_greedy_unless_it_says_otherwise() -> None:
    assert chat_body("m", "hi")["temperature"] == 0.0
    assert chat_body("m", "hi", temperature=0.7, n=2)["temperature"] == 0.7
    assert json.dumps(chat_body("m", "图", ("u",)))


def test_a_streamed_body_makes_a_streamed_request() -> None:
    assert chat(chat_body("m", "hi", stream=True), 3).stream
    plain = chat(chat_body("m", "hi"), 3)
    assert (plain.method, plain.path, plain.deadline_s, plain.stream) == ("POST", CHAT, 3, False)
    assert (get("/health", 2).method, get("/health", 2).body) == ("GET", None)
