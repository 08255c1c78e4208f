"""Chat requests from prompts and pictures. Pure but for reading picture files."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from vlm_acceptance.exchange import CHAT, Request

JPEG_QUALITY = 95


@lru_cache(maxsize=512)
def png_url(path: Path) -> str:
    """A committed PNG as a data URL, byte for byte."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


@lru_cache(maxsize=512)
def jpeg_url(path: Path) -> str:
    """The same picture as a high-quality JPEG (no chroma subsampling) data URL."""
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def fresh_png_url(path: Path) -> str:
    """The picture with four nearly white corner pixels of random shade: the same to a model, new to every cache."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    right, bottom = picture.width - 1, picture.height - 1
    for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):
        shade = tuple(240 + byte % 16 for byte in secrets.token_bytes(3))
        picture.putpixel(corner, shade)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=64)
def plain_url(width: int, height: int, colour: tuple[int, int, int] = (128, 128, 128)) -> str:
    """A one-colour PNG of the given size in pixels as a data URL."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def user_message(prompt: str, pictures: Sequence[str] = ()) -> dict[str, Any]:
    """One user message: pictures (URLs) first, then the text."""
    if not pictures:
        return {"role": "user", "content": prompt}
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return {"role": "user", "content": [*parts, {"type": "text", "text": prompt}]}


def chat_body(model: str, prompt: str, pictures: Sequence[str] = (), **params: Any) -> dict[str, Any]:
    """A greedy chat request; `params` replace or add fields. Temperature is always sent: the default may be 1."""
    return {
        "model": model,
        "messages": [user_message(prompt, pictures)],
        "temperature": 0.0,
        "max_tokens": 64,
        **params,
    }


def chat_defaults(thinking: bool) -> dict[str, Any]:
    """Fields for every chat request: a model that can think before it answers is asked not to."""
    return {"chat_template_kwargs": {"enable_thinking": False}} if thinking else {}


def chat(body: Mapping[str, Any], deadline_s: float) -> Request:
    """A request to the chat route, streamed when the body says so."""
    return Request("POST", CHAT, dict(body), deadline_s=deadline_s, stream=bool(body.get("stream")))


def get(path: str, deadline_s: float) -> Request:
    """A plain GET."""
    return Request("GET", path, deadline_s=deadline_s)
