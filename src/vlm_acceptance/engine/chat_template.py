"""The chat template of a served folder: where it is, and what it makes of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vlm_acceptance.core.files import BadFile, is_file, read_json, read_text

CONFIG, FILE, JSON_FILE = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
_NAMED = "default"
_TEMPLATE_BYTES, _PROMPT_CHARACTERS = 1 << 20, 1 << 20


def rendered(folder: Path, messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The prompt that the folder's template makes of messages whose contents are texts; None if that is not known.

    Source: transformers, `apply_chat_template`, whose settings of Jinja are the same.
    """
    try:
        config = _object(folder / CONFIG)
        template = _template(folder, config)
    except BadFile:
        return None
    if template is None:
        return None
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.loopcontrols"]}
    jinja = ImmutableSandboxedEnvironment(**options, autoescape=False)
    jinja.globals["raise_exception"] = _refuse
    special = {name: _text(config.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    try:
        pieces = jinja.from_string(template).generate(messages=list(messages), add_generation_prompt=True, **special)
        return _joined(pieces)
    except Exception:  # noqa: BLE001  (a template is a program from elsewhere: it fails in any way)
        return None


def _joined(pieces: Iterable[str]) -> str | None:
    """The pieces as one text; None beyond the size of any prompt."""
    prompt: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _PROMPT_CHARACTERS:
            return None
        prompt.append(piece)
    return "".join(prompt)


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The template's text; a file of its own goes before tokenizer_config.json."""
    if is_file(folder / FILE):
        return read_text(folder / FILE, _TEMPLATE_BYTES)
    found = _object(folder / JSON_FILE).get("chat_template") or config.get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get(_NAMED)
    return found if isinstance(found, str) else None


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path) if is_file(path) else {}
    return value if isinstance(value, dict) else {}


def _text(token: object) -> str:
    """A special token, which may be an object with its text."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _refuse(message: object) -> NoReturn:
    raise TemplateError(str(message))
