"""Builds chat requests and their bodies; sends nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image

from vlm_acceptance.core.exchange import CHAT, Request


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
    greedy = {"temperature": 0.0, "max_tokens": 64}
    return {"model": model, "messages": [user_message(prompt, pictures)], **greedy, **params}


def chat_defaults(thinking: bool) -> dict[str, Any]:
    """Body fields for every chat request: thinking is switched off in a model that can think."""
    return {"chat_template_kwargs": {"enable_thinking": False}} if thinking else {}


def chat(body: Mapping[str, Any], deadline_s: float) -> Request:
    """A request to the chat route, streamed if the body sets `stream`."""
    return Request("POST", CHAT, dict(body), deadline_s=deadline_s, stream=bool(body.get("stream")))


def get(path: str, deadline_s: float) -> Request:
    """A GET request."""
    return Request("GET", path, deadline_s=deadline_s)
