"""How the served model cuts pictures into tiles by its config.json, compared with the profile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.config.profile import Pictures
from vlm_acceptance.core.errors import WeightsProblem
from vlm_acceptance.core.files import BadFile, parse_json, read_json
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tiles import MOST_TILE_PX, MOST_TILES

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

# values of `model.pictures` that config.json decides
OF_MODEL = frozenset(_SET_BY)


def served_tiling(folder: Path, engine_args: Sequence[str] = ()) -> dict[str, int | bool]:
    """`model.pictures` by config.json and `--mm-processor-kwargs`; empty for other models and without a tile size.

    WeightsProblem for a value that cannot be one. The check of the weights reports other problems of the folder.
    """
    try:
        config = read_json(folder / "config.json")
    except BadFile:
        return {}
    if not isinstance(config, dict) or config.get("model_type") not in KINDS:
        return {}
    if problems := config_problems(config):
        raise WeightsProblem(f"{folder}: {'; '.join(problems)}")
    config |= _options(engine_args)
    if config_problems(config):
        return {}  # the engine refuses its argument
    side, patch, ratio = _sizes(config)
    if side is None or patch is None:
        return {}
    is_cut = bool(config.get("dynamic_image_size", True))
    return {
        "tile_px": side,
        "tokens_per_tile": int((side // patch) ** 2 * ratio**2),
        "min_tiles": config.get("min_dynamic_patch", 1) if is_cut else 1,
        "max_tiles": config.get("max_dynamic_patch", 6) if is_cut else 1,
        "thumbnail": bool(config.get("use_thumbnail", True)),
    }


def config_problems(config: Mapping[str, Any]) -> list[str]:
    """Values of config.json from which no tiles can be made, one sentence each; none for other models."""
    if config.get("model_type") not in KINDS:
        return []
    vision = config.get("vision_config") or {}
    if not isinstance(vision, dict):
        return [f"config.json: vision_config is {trimmed(vision, 40)}, expected an object"]
    side, patch, ratio = _sizes(config)
    least, most = config.get("min_dynamic_patch", 1), config.get("max_dynamic_patch", 6)
    checked = {
        "force_image_size or vision_config.image_size": (side, side is None or _is_whole(side, MOST_TILE_PX)),
        "vision_config.patch_size": (patch, patch is None or _is_whole(patch, MOST_TILE_PX)),
        "downsample_ratio": (ratio, type(ratio) in (int, float) and 0 < ratio <= 1),
        "min_dynamic_patch": (least, _is_whole(least, MOST_TILES)),
        "max_dynamic_patch": (most, _is_whole(most, MOST_TILES)),
    }
    found = [
        f"config.json: {key} is {trimmed(value, 40)}" for key, (value, is_valid) in checked.items() if not is_valid
    ]
    if not found and least > most:
        found = [f"config.json: min_dynamic_patch {least} is more than max_dynamic_patch {most}"]
    return [f"{problem}, from which no tiles can be made: download it again" for problem in found]


def _sizes(config: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The side of a tile and of a patch in pixels, and by how much a side of the patches shrinks."""
    vision = config.get("vision_config") or {}
    side = config.get("force_image_size") or vision.get("image_size")
    return side, vision.get("patch_size"), config.get("downsample_ratio", 0.5)


def _is_whole(value: object, most: int) -> bool:
    return type(value) is int and 0 < value <= most


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
                found |= {key: _value(text)} if key else dict(parse_json(text))
            except (ValueError, TypeError, IndexError):
                continue  # the engine refuses it
    return found


def _value(text: str) -> Any:
    try:
        return parse_json(text)
    except BadFile:
        return text


def _source(key: str, given: Mapping[str, Any]) -> str:
    named = [f"{ARGUMENT} {name}" for name in _SET_BY[key] if name in given]
    return f"the engine's {' and '.join(named)}" if named else "the served config.json"
