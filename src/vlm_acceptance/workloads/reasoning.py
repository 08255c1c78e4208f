"""Requests to a model that thinks before it answers."""

from __future__ import annotations

from typing import Any

from vlm_acceptance.client.chat import chat_body, plain_url

PROMPT = "A train leaves at 9:40 and arrives at 11:05. How many minutes does it take? Think first, then answer."
PICTURE_PROMPT = "Is this picture rather dark or rather bright? Think first, then answer."
# thoughts may be long: an answer that ends within them is judged, too
MAX_TOKENS = 1024


def body(model: str, thinking: bool, has_picture: bool, **params: Any) -> dict[str, Any]:
    """A request that makes the model think; `thinking`: a switch of its chat template must be set for that."""
    prompt, pictures = (PICTURE_PROMPT, (plain_url(64, 64),)) if has_picture else (PROMPT, ())
    switch = {"chat_template_kwargs": {"enable_thinking": True}} if thinking else {}
    return chat_body(model, prompt, pictures, max_tokens=MAX_TOKENS, **switch, **params)
