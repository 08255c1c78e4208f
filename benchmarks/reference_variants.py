"""What reference_runs.py asks: variants of the control, right and wrong ones, and the passes over the prompts.

Checkpoints are changed with torch, which is imported when it is used. Imports nothing of the suite.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "proof"))  # the mutants are scripts

import mutants

if TYPE_CHECKING:
    from torch import Tensor

RIGHT, RECORD = "right", "alone"
Make = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the first `most` prompts: how many at once, in which order (0: theirs), whose cache it shares."""

    name: str
    concurrency: int = 16
    order: int = 0
    salt: str = ""
    is_scored: bool = False
    most: int = 0


@dataclass(frozen=True, slots=True)
class Variant:
    """A checkpoint, an engine and its options; `passes` are made one after another."""

    name: str
    make: Make | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""  # of mutant_engine.py
    partial: str = ""  # type of the partial sums of varying_engine.py
    passes: tuple[Pass, ...] = ()
    profile: str = "control-cpu"


SCORED = Pass("scored", 4, is_scored=True, most=360)
FEW = (Pass("together", most=360), SCORED)
SHORT = (Pass("together", most=129),)


def restart(number: int, most: int = 129) -> tuple[Pass, ...]:
    """Four passes of one start: cold and warm, a few and many at once, in other orders each time."""
    return (
        Pass("few", 3, order=number, most=most),
        Pass("together", order=10 + number, most=most),
        Pass("warm", order=20 + number, salt="together", most=most),
        Pass("eight", 8, order=30 + number, most=most),
    )


def first(most: int) -> tuple[Pass, ...]:
    """The passes of a first start: one prompt after another, the record, and then as after a restart."""
    return (Pass(RECORD, 1, most=most), *restart(0, most)[1:], Pass("scored", 4, is_scored=True, most=most))


def quantised(bits: int, group: int | None) -> Make:
    """Every linear layer rounded to the nearest of 2**bits - 1 steps; `group` inputs or a whole row share a scale."""

    def change(weights: dict[str, Tensor]) -> None:
        largest = 2 ** (bits - 1) - 1
        for matrix in linear_layers(weights):
            groups = matrix.view(matrix.shape[0], -1, group or matrix.shape[1])
            scale = groups.abs().amax(-1, keepdim=True).clamp_min(1e-12) / largest
            groups.copy_((groups / scale).round() * scale)

    return lambda folder: rewrite(folder, change)


def fp8(folder: Path) -> None:
    """Every linear layer in float8 e4m3, each row with its own scale."""

    def change(weights: dict[str, Tensor]) -> None:
        import torch

        for matrix in linear_layers(weights):
            scale = matrix.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 448
            matrix.copy_((matrix / scale).to(torch.float8_e4m3fn).float() * scale)

    rewrite(folder, change)


def noise(share: float) -> Make:
    """Every linear layer is off by this share of each weight, normally distributed."""

    def change(weights: dict[str, Tensor]) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        for matrix in linear_layers(weights):
            matrix *= 1 + share * torch.randn(matrix.shape, generator=generator)

    return lambda folder: rewrite(folder, change)


def norm_eps(value: float) -> Make:
    """The language model's norms add `value` to the variance."""

    def make(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text("utf-8"))
        config["llm_config"]["rms_norm_eps"] = value
        path.write_text(json.dumps(config, indent=2), "utf-8")

    return make


def linear_layers(weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The matrices of linear layers, in the order of their names; embeddings and the output layer are left out."""
    keep = ("tok_embeddings", "language_model.output", "position_embedding")
    return [w for name, w in sorted(weights.items()) if w.dim() == 2 and not any(k in name for k in keep)]


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Change the folder's weights; they are stored in float32 and rounded to the engine's type when it loads them."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {name: tensor.float() for name, tensor in load_file(str(path)).items()}
    change(weights)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(path), metadata={"format": "pt"})
    path.chmod(0o644)


CHANGES: dict[str, Make] = {
    "int8": quantised(8, None),
    "int8-group": quantised(8, 32),
    "int4": quantised(4, 32),
    "int4-channel": quantised(4, None),
    "fp8": fp8,
    "noise1": noise(0.01),
    "noise2": noise(0.02),
    "noise5": noise(0.05),
    "eps10": norm_eps(1e-4),
    "eps1000": norm_eps(1e-2),
    "foreign-system": mutants.MAKERS["foreign-system"],
    "no-bos": mutants.MAKERS["no-bos"],
    "no-thumbnail": mutants.MAKERS["no-thumbnail"],
}
FP32 = {"--dtype": "float32"}


def variants() -> tuple[Variant, ...]:
    """All variants, in the order in which they are worth having."""
    curves = ("int4", "fp8", "noise1", "foreign-system")
    faults = [
        Variant(name, make, passes=FEW if name in curves else SHORT) for name, make in CHANGES.items() if name != "int8"
    ]
    kv_cache = {"--kv-cache-dtype": "fp8"}
    varying = {"partial": "float32"}
    # on the engine that depends on the batch as a card does
    cards = [Variant(f"{name}~varying", CHANGES[name], passes=FEW, **varying) for name in curves]
    # what one fault alone would change, without the rounding of the engine
    predicted = ("int8", "fp8", "int4", "noise1", "int8-group", "int4-channel", "eps10", "no-bos", "foreign-system")
    exact = [Variant(f"{name}@fp32", CHANGES[name], FP32, passes=(SCORED,)) for name in predicted]
    return (
        Variant(RIGHT, passes=first(0)),
        Variant("int8", CHANGES["int8"], passes=first(0)),
        Variant("fp32", args=FP32, passes=FEW),
        Variant("varying", passes=first(360), **varying),
        Variant("int8~varying", CHANGES["int8"], passes=first(360), **varying),
        Variant("kv-fp8", args=kv_cache, passes=FEW),
        Variant("kv-fp8~varying", args=kv_cache, passes=FEW, **varying),
        *cards,
        *faults,
        Variant("fp16", args={"--dtype": "float16"}, passes=SHORT),
        Variant("nearest", fault="nearest", passes=SHORT),
        Variant("tiles-reversed", fault="tiles-reversed", passes=SHORT),
        Variant("threads", env={"OMP_NUM_THREADS": "2"}, passes=SHORT),
        Variant("small-steps", args={"--max-num-batched-tokens": 64}, passes=SHORT),
        Variant("no-cache", args={"--no-enable-prefix-caching": None}, passes=SHORT),
        # the CPU engine's blocks of 128 tokens are longer than most prompts: the prefix cache would hit nothing
        Variant("warm-blocks", args={"--block-size": 32}, passes=restart(9)),
        *exact[:4],
        *restarts(),
        Variant("spm", profile="control-spm", passes=restart(9)),
        # the right deployment again, for another release of vLLM
        Variant("release", passes=SHORT),
        Variant("varying-bf16", partial="bfloat16", passes=first(129)),
        *exact[4:],
    )


def restarts() -> list[Variant]:
    """The right deployment and int8 weights, started four times more, on both engines."""
    kinds: tuple[tuple[str, Make | None, str], ...] = (
        (RIGHT, None, ""),
        ("int8", CHANGES["int8"], ""),
        ("varying", None, "float32"),
        ("int8~varying", CHANGES["int8"], "float32"),
    )
    return [
        Variant(f"{name}-{number}", make, partial=partial, passes=restart(number))
        for number in range(1, 5)
        for name, make, partial in kinds
    ]
