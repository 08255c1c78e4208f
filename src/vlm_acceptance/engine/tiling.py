"""How the served model cuts pictures into tiles by its config.json, compared with the profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.config.profile import Pictures

KINDS = ("internvl_chat",)
ARGUMENT = "--mm-processor-kwargs"
# the keys of config.json, or of the argument, that set a value of `model.pictures`
_SET_BY: Mapping[str, tuple[str, ...]] = {
    "tile_px": ("force_image_size",),
    "tokens_per_tile": ("force_image_size", "downsample_ratio"),
    "min_tiles": ("min_dynamic_patch", "dynamic_image_size"),
    "max_tiles": ("max_dynamic_patch", "dynamic_image_size"),
    "thumbnail": ("use_thumbnail",),
}


def served_tiling(folder: Path, engine_args: Sequence[str] = ()) -> dict[str, int | bool]:
    """`model.pictures` by config.json and `--mm-processor-kwargs`; empty for other models and without a tile size."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # the check of the weights reports problems of the folder
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


def contradictions(stated: Pictures, served: Mapping[str, int | bool], engine_args: Sequence[str] = ()) -> list[str]:
    """Tile values that the profile sets and the served model does not have, one sentence each."""
    if stated.oracle == "none":
        return []
    given = _options(engine_args)
    pairs = {key: (getattr(stated, key), value) for key, value in served.items() if key in stated.model_fields_set}
    return [
        f"the profile says model.pictures.{key}: {json.dumps(ours)}, {_source(key, given)} {json.dumps(theirs)}"
        for key, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def effective(stated: Pictures, served: Mapping[str, int | bool]) -> dict[str, Any]:
    """The constants of the tile rule: the profile's, for values that it does not set the served model's."""
    set_values = stated.model_dump(include=stated.model_fields_set - {"oracle"})
    return {**stated.model_dump(exclude={"oracle"}), **served, **set_values}


def _options(args: Sequence[str]) -> dict[str, Any]:
    """The values of `--mm-processor-kwargs`, given as one word or two, as JSON or key by key after a dot."""
    found: dict[str, Any] = {}
    for place, word in enumerate(args):
        name, equals, value = str(word).partition("=")
        option, _, key = name.partition(".")
        if option.replace("_", "-") == ARGUMENT:
            try:
                text = value if equals else str(args[place + 1])
                found |= {key: _value(text)} if key else json.loads(text)
            except (ValueError, TypeError, IndexError):
                continue  # the engine refuses it
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _source(key: str, given: Mapping[str, Any]) -> str:
    named = [f"{ARGUMENT} {name}" for name in _SET_BY[key] if name in given]
    return f"the engine's {' and '.join(named)}" if named else "the served config.json"
