"""Profiles that `vlm-acceptance profile new` writes from the published configurations of three models."""

from __future__ import annotations

from pathlib import Path

from vlm_acceptance.cli.profile import main
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import Loaded, load_profile

MODELS = Path(__file__).parents[1] / "selftest" / "config" / "data"
QWEN, INTERNVL3, MINICPM = NAMES = ("Qwen2.5-VL-7B-Instruct", "InternVL3-8B", "MiniCPM-V-2_6")


def written(source: Path | str, folder: Path, *more: str) -> Path:
    """The file of a new profile of a folder or endpoint."""
    path = folder / "mine.yaml"
    path.unlink(missing_ok=True)
    assert main(["new", str(source), "--out", str(path), *more]) == 0
    return path


def loaded(source: Path | str, folder: Path, *more: str) -> Loaded:
    """A new profile, loaded as a run loads it."""
    return load_profile(str(written(source, folder, *more)), PROFILES)
