"""vLLM's CPU engine with a fault in its own picture processing, named by the environment variable CONTROL_MUTANT.

With the name `near-ties` it is no fault, but a device whose rounding differs from one request to the next.

`CONTROL_MUTANT=tiles-reversed python mutant_engine.py serve MODEL ...`. Spawned workers import this file again, so
the fault is in every process. Runs in the engine's interpreter; the launcher proper is loaded by path.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

LAUNCHER = Path(__file__).resolve().parents[2] / "src" / "vlm_acceptance" / "engine" / "cpu_launcher.py"
# Where vLLM's releases keep the function that cuts a picture into tiles: 0.32 in the first, 0.18 in the second.
HOMES = ("vllm.transformers_utils.processors.internvl", "vllm.model_executor.models.internvl")
CUT = "dynamic_preprocess_internvl"
NEAREST, BILINEAR = 0, 2  # Pillow's numbers


def tiles_reversed(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The tiles of a picture come last to first; their number and the thumbnail's place stay."""

    def wrong(*args: Any, use_thumbnail: bool, **options: Any) -> list[Any]:
        tiles = cut(*args, use_thumbnail=use_thumbnail, **options)
        thumbnail = tiles[-1:] if use_thumbnail and len(tiles) > 1 else []
        return tiles[: len(tiles) - len(thumbnail)][::-1] + thumbnail

    return wrong


def thumbnail_first(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The thumbnail of a picture comes before its tiles."""

    def wrong(*args: Any, use_thumbnail: bool, **options: Any) -> list[Any]:
        tiles = cut(*args, use_thumbnail=use_thumbnail, **options)
        return tiles[-1:] + tiles[:-1] if use_thumbnail and len(tiles) > 1 else tiles

    return wrong


def _grey(tile: Any) -> Any:
    return tile.point(lambda _: 128)


def tiles_grey(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Every tile but the first is grey; their number and the thumbnail stay."""

    def wrong(*args: Any, use_thumbnail: bool, **options: Any) -> list[Any]:
        tiles = cut(*args, use_thumbnail=use_thumbnail, **options)
        last = len(tiles) - 1 if use_thumbnail and len(tiles) > 1 else len(tiles)
        return [tiles[0], *map(_grey, tiles[1:last]), *tiles[last:]]

    return wrong


def thumbnail_grey(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The thumbnail of a picture is grey; the tiles stay."""

    def wrong(*args: Any, use_thumbnail: bool, **options: Any) -> list[Any]:
        tiles = cut(*args, use_thumbnail=use_thumbnail, **options)
        return [*tiles[:-1], _grey(tiles[-1])] if use_thumbnail and len(tiles) > 1 else tiles

    return wrong


def tiles_dropped(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Only the first tile of a picture is kept, and no thumbnail."""

    def wrong(*args: Any, **options: Any) -> list[Any]:
        return cut(*args, **options)[:1]

    return wrong


class Coarse:
    """A picture whose resize takes another filter of Pillow's; otherwise unchanged."""

    def __init__(self, picture: Any, resample: int) -> None:
        self.picture, self.resample = picture, resample

    def __getattr__(self, name: str) -> Any:
        return getattr(self.picture, name)

    def resize(self, size: tuple[int, int]) -> Any:
        """The picture in another size."""
        return self.picture.resize(size, self.resample)


def nearest(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Pictures are resized by their nearest pixels in place of bicubically."""
    return lambda image, **options: cut(Coarse(image, NEAREST), **options)


def bilinear(cut: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Pictures are resized bilinearly in place of bicubically."""
    return lambda image, **options: cut(Coarse(image, BILINEAR), **options)


def near_ties(sample: Callable[..., Any]) -> Callable[..., Any]:
    """No fault: rounding noise of bfloat16 on every logit, and a near-tie of two at the second digit of a number.

    Another second digit leaves the control's next words as they are; others would lead it to degenerate text.
    """
    vocabulary = json.loads(TOKENIZER.read_text("utf-8"))["model"]["vocab"]
    numbers = [vocabulary[digit] for digit in "0123456789"]

    def is_second(said: list[int]) -> bool:
        return [token in numbers for token in said[-2:]] in ([True], [False, True])

    def noisy(self: Any, logits: Any, sampling_metadata: Any, *args: Any, **options: Any) -> Any:
        import torch

        logits, digits = logits.float(), torch.tensor(numbers)
        best = logits.argmax(-1)
        seconds = torch.tensor([is_second(said or []) for said in sampling_metadata.output_token_ids])
        at = (torch.isin(best, digits) & seconds).nonzero().flatten()
        others = torch.where(digits == best[:, None], -torch.inf, logits[:, digits])
        second = digits[others.argmax(-1)]
        # the same places for the same text, whatever else is in the batch; chance decides which one is ahead
        ahead = STEP * (torch.rand(len(at)) - 0.5)
        logits[at, second[at]] = logits[at, best[at]] + ahead
        # each logit goes to one of the two neighbours that bfloat16 has between 16 and 32
        rounded = (logits / STEP + torch.rand_like(logits)).floor() * STEP
        return sample(self, rounded, sampling_metadata, *args, **options)

    return noisy


def told_tokens(init: Callable[..., None]) -> Callable[..., None]:
    """The sampler is told the tokens of each answer so far, as a logits processor is."""

    def told(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **{**options, "logitsprocs_need_output_token_ids": True})

    return told


STEP = 0.125
NOISY = "near-ties"
TOKENIZER = Path(__file__).resolve().parents[2] / "fixtures" / "control" / "model" / "tokenizer.json"
FAULTS = {
    "tiles-reversed": tiles_reversed,
    "tiles-grey": tiles_grey,
    "tiles-dropped": tiles_dropped,
    "thumbnail-first": thumbnail_first,
    "thumbnail-grey": thumbnail_grey,
    "nearest": nearest,
    "bilinear": bilinear,
}


def load_launcher() -> ModuleType:
    """The launcher as a module; loading it prepares this process for vLLM."""
    found = importlib.util.spec_from_file_location("cpu_launcher", LAUNCHER)
    if found is None or found.loader is None:
        raise ImportError(f"cannot load {LAUNCHER}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def break_tiling(name: str) -> None:
    """Replace the function that cuts pictures in the modules of HOMES that have it; LookupError when none has."""
    homes = [importlib.import_module(home) for home in HOMES if _exists(home)]
    own = [home for home in homes if hasattr(home, CUT)]
    if not own:
        raise LookupError(f"this vLLM has no {CUT} in {' or '.join(HOMES)}")
    for home in own:
        setattr(home, CUT, FAULTS[name](getattr(home, CUT)))


def add_noise() -> None:
    """Put the noise of `near_ties` before the sampler of vLLM."""
    sampler = importlib.import_module("vllm.v1.sample.sampler").Sampler
    sampler.forward = near_ties(sampler.forward)
    batch = importlib.import_module("vllm.v1.worker.gpu_input_batch").InputBatch
    batch.__init__ = told_tokens(batch.__init__)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing, too
        return False


# A spawned worker imports its parent's script under the second name.
if __name__ in ("__main__", "__mp_main__"):
    launcher = load_launcher()
    if os.environ["CONTROL_MUTANT"] == NOISY:
        add_noise()
    else:
        break_tiling(os.environ["CONTROL_MUTANT"])
    if __name__ == "__main__":
        launcher.main()
