"""The tokenizer and the chat template of a model folder, and the text of a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, read_json, shown

# the role of a message and the line feed behind it; the last one begins the answer and belongs to no message
_ROLE = re.compile(r"(<\|im_start\|>(?:system|user|assistant))\n(?!\Z)")


def template_of(folder: Path, tokenizer: Any) -> str:
    """The chat template, from the tokenizer or from chat_template.json; UsageProblem without one."""
    if found := getattr(tokenizer, "chat_template", None):
        return str(found["default"] if isinstance(found, dict) else found)
    try:
        value = read_json(folder / "chat_template.json")
    except BadFile:
        value = None
    if isinstance(value, dict) and isinstance(value.get("chat_template"), str):
        return str(value["chat_template"])
    raise UsageProblem(f"--model: {shown(folder)} has no chat template in its tokenizer_config.json or beside it")


def conversation_text(tokenizer: Any, template: str, messages: Sequence[Mapping[str, str]]) -> str:
    """The template's text of a conversation, up to where the answer begins."""
    text = tokenizer.apply_chat_template(
        list(messages), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    return str(text)


def without_start(text: str, start: str | None) -> str:
    """The text without the token that begins it."""
    return text.removeprefix(start) if start else text


def without_role_line_feeds(text: str) -> str:
    """The text without the line feed behind the role of each message."""
    return _ROLE.sub(r"\1", text)
