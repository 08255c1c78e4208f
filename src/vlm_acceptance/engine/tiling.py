"""How the served model cuts pictures into tiles, by its own config.json, beside what the profile says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.config.profile import Pictures

KINDS = ("internvl_chat",)
ARGUMENT = "--mm-processor-kwargs"
# by which keys of config.json, or of the argument, a value of `model.pictures` is told
_TOLD_BY: Mapping[str, tuple[str, ...]] = {
    "tile_px": ("force_image_size",),
    "tokens_per_tile": ("force_image_size", "downsample_ratio"),
    "min_tiles": ("min_dynamic_patch", "dynamic_image_size"),
    "max_tiles": ("max_dynamic_patch", "dynamic_image_size"),
    "thumbnail": ("use_thumbnail",),
}


def served_tiling(folder: Path, engine_args: Sequence[str] = ()) -> dict[str, int | bool]:
    """Values of `model.pictures` by the folder's config.json and the engine's `--mm-processor-kwargs`.

    Empty for other kinds of models, and where config.json cannot be read or tells no tile.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # what is wrong with the folder is said by the check of the weights
    if not isinstance(config, dict) or config.get("model_type") not in KINDS:
        return {}
    config |= _options(engine_args)
    vision = config.get("vision_config") or {}
    side, patch = config.get("force_image_size") or vision.get("image_size"), vision.get("patch_size")
    if not isinstance(side, int) or not isinstance(patch, int):
        return {}
    is_cut = bool(config.get("dynamic_image_size", True))
    return {
        "tile_px": side,
        "tokens_per_tile": int((side // patch) ** 2 * config.get("downsample_ratio", 0.5) ** 2),
        "min_tiles": config.get("min_dynamic_patch", 1) if is_cut else 1,
        "max_tiles": config.get("max_dynamic_patch", 6) if is_cut else 1,
        "thumbnail": bool(config.get("use_thumbnail", True)),
    }


def contradictions(said: Pictures, served: Mapping[str, int | bool], engine_args: Sequence[str] = ()) -> list[str]:
    """What the profile says of tiles and the served model does otherwise; what it leaves open contradicts nothing."""
    if said.oracle == "none":
        return []
    given = _options(engine_args)
    return [
        f"the profile says model.pictures.{key}: {_word(getattr(said, key))}, {_source(key, given)} {_word(value)}"
        for key, value in served.items()
        if key in said.model_fields_set and getattr(said, key) != value
    ]


def effective(said: Pictures, served: Mapping[str, int | bool]) -> dict[str, Any]:
    """The constants of the tile rule: the profile's, and where it leaves one open the served model's."""
    stated = said.model_dump(include=said.model_fields_set - {"oracle"})
    return {**said.model_dump(exclude={"oracle"}), **served, **stated}


def _options(args: Sequence[str]) -> dict[str, Any]:
    """What `--mm-processor-kwargs` changes, given in one word or in two, whole or key by key after a dot."""
    found: dict[str, Any] = {}
    for place, word in enumerate(args):
        name, equals, value = str(word).partition("=")
        option, _, key = name.partition(".")
        if option.replace("_", "-") == ARGUMENT:
            try:
                told = value if equals else str(args[place + 1])
                found |= {key: _value(told)} if key else json.loads(told)
            except (ValueError, TypeError, IndexError):
                continue  # the engine itself will refuse it
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _source(key: str, given: Mapping[str, Any]) -> str:
    named = [f"{ARGUMENT} {name}" for name in _TOLD_BY[key] if name in given]
    return f"the engine's {' and '.join(named)}" if named else "the served config.json"


def _word(value: object) -> str:
    return json.dumps(value)
