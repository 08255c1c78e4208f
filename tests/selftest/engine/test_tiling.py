"""How a served model cuts pictures: read from config.json, and compared with the profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import Pictures
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.engine.tiling import contradictions, effective, served_tiling

CONTROL = ROOT / "fixtures" / "control" / "model"
# from the config.json of InternVL2-2B
INTERNVL2 = {
    "model_type": "internvl_chat",
    "force_image_size": 448,
    "downsample_ratio": 0.5,
    "dynamic_image_size": True,
    "use_thumbnail": True,
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 12,
    "vision_config": {"image_size": 448, "patch_size": 14},
}


def served(folder: Path, args: tuple[str, ...] = (), **changes: Any) -> dict[str, int | bool]:
    (folder / "config.json").write_text(json.dumps({**INTERNVL2, **changes}), "utf-8")
    return served_tiling(folder, args)


def tiles(tile_px: int, tokens_per_tile: int, max_tiles: int) -> dict[str, int | bool]:
    sizes = {"tile_px": tile_px, "tokens_per_tile": tokens_per_tile}
    return {**sizes, "min_tiles": 1, "max_tiles": max_tiles, "thumbnail": True}


def test_tiles_of_both_sizes_are_read(tmp_path: Path) -> None:
    assert served(tmp_path) == tiles(448, 256, 12)
    assert served_tiling(CONTROL) == tiles(112, 16, 6)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"dynamic_image_size": False}, "max_tiles", 1),
        ({"use_thumbnail": False}, "thumbnail", False),
        ({"min_dynamic_patch": 2}, "min_tiles", 2),
        ({"force_image_size": None, "vision_config": {"image_size": 224, "patch_size": 14}}, "tokens_per_tile", 64),
    ],
)
def test_each_key_of_the_config_counts(tmp_path: Path, changes: dict[str, Any], key: str, value: object) -> None:
    assert served(tmp_path, **changes)[key] == value


@pytest.mark.parametrize(
    "args",
    [
        ("--mm-processor-kwargs", '{"max_dynamic_patch": 4}'),
        ("--dtype", "bfloat16", '--mm-processor-kwargs={"max_dynamic_patch": 4}'),
        ("--mm-processor-kwargs.max_dynamic_patch", "4"),
        ("--mm_processor_kwargs.max_dynamic_patch=4",),
    ],
)
def test_arguments_of_the_engine_change_the_config(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert served(tmp_path, args) == tiles(448, 256, 4)


@pytest.mark.parametrize(
    "args",
    [
        ("--mm-processor-kwargs",),
        ("--mm-processor-kwargs", "{"),
        ("--mm-processor-kwargs", "3"),
        ("--mm-processor-kwargs.max_dynamic_patch",),
    ],
)
def test_arguments_that_the_engine_refuses_change_nothing(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert served(tmp_path, args) == tiles(448, 256, 12)


@pytest.mark.parametrize("text", ["", "[]", '{"model_type": "qwen2_vl"}', '{"model_type": "internvl_chat"}'])
def test_other_models_and_broken_files_give_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, "utf-8")
    assert served_tiling(tmp_path) == {}
    assert served_tiling(tmp_path / "missing") == {}


@pytest.mark.parametrize("name", ["control-cpu", "internvl2-2b-ascend"])
def test_profiles_agree_with_their_models(name: str, tmp_path: Path) -> None:
    profile = load_profile(name, PROFILES).profile
    seen = served_tiling(CONTROL) if profile.model.control else served(tmp_path)
    assert contradictions(profile.model.pictures, seen) == []
    assert TileRule(**effective(profile.model.pictures, seen)) == TileRule(**seen)  # type: ignore[arg-type]


def test_difference_from_the_profile_is_named_in_one_line(tmp_path: Path) -> None:
    said = Pictures(oracle="internvl", tile_px=112, max_tiles=12)
    assert contradictions(said, served(tmp_path)) == [
        "the profile says model.pictures.tile_px: 112, the served config.json 448"
    ]
    assert contradictions(Pictures(oracle="none", tile_px=112), served(tmp_path)) == []


def test_difference_of_an_argument_names_the_argument(tmp_path: Path) -> None:
    args = ("--mm-processor-kwargs.max_dynamic_patch", "4")
    said = Pictures(oracle="internvl", tile_px=112, max_tiles=12)
    assert contradictions(said, served(tmp_path, args), args) == [
        "the profile says model.pictures.tile_px: 112, the served config.json 448",
        "the profile says model.pictures.max_tiles: 12, the engine's --mm-processor-kwargs max_dynamic_patch 4",
    ]


def test_values_that_the_profile_does_not_set_come_from_the_served_model() -> None:
    said = Pictures(oracle="internvl", max_tiles=12)
    rule = effective(said, served_tiling(CONTROL))
    assert (rule["tile_px"], rule["tokens_per_tile"], rule["max_tiles"]) == (112, 16, 12)
    assert effective(said, {})["tile_px"] == 448
