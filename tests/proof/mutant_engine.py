"""vLLM's CPU engine with a fault in its own picture processing, named by the environment variable CONTROL_MUTANT.

`CONTROL_MUTANT=tiles-reversed python mutant_engine.py serve MODEL ...`. Spawned workers import this file again, so
the fault is in every process. Runs in the engine's interpreter; the launcher proper is loaded by path.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

LAUNCHER = Path(__file__).resolve().parents[2] / "src" / "vlm_acceptance" / "deployment" / "cpu_engine.py"
# Where vLLM's releases keep the function that cuts a picture into tiles.
HOMES = ("vllm.transformers_utils.processors.internvl", "vllm.model_executor.models.internvl")
CUT = "dynamic_preprocess_internvl"


def tiles_reversed(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The tiles of a picture come last to first; their number and the thumbnail's place stay."""

    def wrong(*args: Any, use_thumbnail: bool, **options: Any) -> list[Any]:
        tiles = cut(*args, use_thumbnail=use_thumbnail, **options)
        thumbnail = tiles[-1:] if use_thumbnail and len(tiles) > 1 else []
        return tiles[: len(tiles) - len(thumbnail)][::-1] + thumbnail

    return wrong


FAULTS = {"tiles-reversed": tiles_reversed}


def load_launcher() -> ModuleType:
    """The launcher as a module; loading it prepares this process for vLLM."""
    found = importlib.util.spec_from_file_location("cpu_engine", LAUNCHER)
    if found is None or found.loader is None:
        raise ImportError(f"cannot load {LAUNCHER}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def break_tiling(name: str) -> None:
    """Replaces the cutting function wherever this vLLM keeps it; LookupError when it keeps it nowhere."""
    homes = [importlib.import_module(home) for home in HOMES]
    own = [home for home in homes if hasattr(home, CUT)]
    if not own:
        raise LookupError(f"this vLLM has no {CUT} in {' or '.join(HOMES)}")
    for home in own:
        setattr(home, CUT, FAULTS[name](getattr(home, CUT)))


launcher = load_launcher()
break_tiling(os.environ["CONTROL_MUTANT"])
if __name__ == "__main__":
    launcher.main()
