"""Ids of the tokens that the network itself must know: the one that stands for a picture, and those that end a turn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import JSON_BYTES, MB, shown
from vlm_acceptance.reference.config_section import read_object, stands

PICTURE, END = "<IMG_CONTEXT>", "<|im_end|>"


def special_tokens(folder: Path) -> Mapping[str, int]:
    """Ids of a folder's added tokens by their text, from whichever of its tokenizer files name them."""
    found: dict[str, int] = {}
    for name, read, most in _FILES:
        if PICTURE not in found and stands(folder / name):
            found |= {
                text: token
                for text, token in read(read_object(folder / name, most)).items()
                if isinstance(text, str) and isinstance(token, int)
            }
    return found


def picture_token(folder: Path) -> int:
    """The token in whose places a picture's vectors stand."""
    found = special_tokens(folder)
    if PICTURE not in found:
        raise UsageProblem(f"{shown(folder)}: no tokenizer file names the token {PICTURE}")
    return found[PICTURE]


def end_tokens(folder: Path, configured: Any) -> tuple[int, ...]:
    """The tokens that end an answer: those of generation_config.json and config.json, and the end of a turn."""
    path = folder / "generation_config.json"
    generation = read_object(path).get("eos_token_id") if stands(path) else None
    listed = [*_ids(generation), *_ids(configured), *_ids(special_tokens(folder).get(END))]
    if not listed:
        raise UsageProblem(f"{shown(folder)}: no file names a token that ends an answer (eos_token_id, {END})")
    return tuple(sorted(set(listed)))


def _ids(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, int) and not isinstance(each, bool)]


def _listed(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    rows = tokenizer.get("added_tokens")
    rows = rows if isinstance(rows, list) else []
    return {row["content"]: row["id"] for row in rows if isinstance(row, dict) and {"content", "id"} <= row.keys()}


def _decoder(config: Mapping[str, Any]) -> dict[str, int]:
    rows = config.get("added_tokens_decoder")
    rows = rows if isinstance(rows, dict) else {}
    return {
        row["content"]: int(token)
        for token, row in rows.items()
        if isinstance(row, dict) and isinstance(row.get("content"), str) and token.isdecimal()
    }


# the last one also holds the whole vocabulary, and is read only if no other names the picture's token
_FILES = (
    ("tokenizer_config.json", _decoder, JSON_BYTES),
    ("added_tokens.json", dict, JSON_BYTES),
    ("tokenizer.json", _listed, 64 * MB),
)
