"""Defaults of requests that the served folder declares in its generation_config.json."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import BadFile, is_file, read_json
from vlm_acceptance.core.numbers import is_figure

FILE = "generation_config.json"
# those that vLLM takes from the file
NAMES = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")
_MOST_BYTES = 1 << 20


def declared_defaults(folder: Path, args: Sequence[object]) -> dict[str, float]:
    """Values by name, with the engine's own arguments about them; an unreadable file declares none."""
    words = [str(word) for word in args]
    source = _value(words, "--generation-config") or "auto"
    path = (folder if source == "auto" else Path(source)) / FILE
    found: Any = {}
    if source != "vllm" and is_file(path):
        try:
            found = read_json(path, _MOST_BYTES)
        except BadFile:
            found = {}
    values = {**(found if isinstance(found, dict) else {}), **_overrides(words)}
    return {name: float(values[name]) for name in NAMES if is_figure(values.get(name))}


def _overrides(words: Sequence[str]) -> dict[str, Any]:
    try:
        given = json.loads(_value(words, "--override-generation-config") or "{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _value(words: Sequence[str], option: str) -> str:
    """The value of an option of the engine, given in one word or two; '' without it."""
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    pairs = [after for word, after in itertools.pairwise(words) if word == option]
    return next(iter([*joined, *pairs]), "")
