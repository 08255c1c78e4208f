"""vLLM's CPU engine, made to depend on the batch as a card does: `PARTIAL_SUMS=float32 python varying_engine.py`.

No fault. A card cuts the sum of a matrix product into as many parts as its cores are idle, so that the same request is
rounded otherwise in another batch; the CPU engine gives the same bits. Here every linear layer adds up 8, 4, 2 or 1
parts, by the number of its rows; the parts are float32, or bfloat16 as the coarsest cards have them. Spawned workers
import this file again, so it holds in every process. Runs in the engine's interpreter.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "proof"))

from mutant_engine import load_launcher

if TYPE_CHECKING:
    from torch import Tensor

# rows of the input, at most -> parts of the sum
PARTS = ((1, 8), (4, 4), (16, 2))


def parts_of(rows: int) -> int:
    """Into how many parts a sum is cut when the input has this many rows."""
    return next((parts for most, parts in PARTS if rows <= most), 1)


def product(x: Tensor, weight: Tensor, bias: Tensor | None, partial: Any) -> Tensor:
    """A linear layer whose sum is cut into parts of the type `partial`; the result has the type of `x`."""
    rows = x.numel() // x.shape[-1]
    total: Any = 0 if bias is None else bias.float()
    pieces = zip(x.tensor_split(parts_of(rows), -1), weight.tensor_split(parts_of(rows), -1), strict=True)
    for left, right in pieces:
        total = total + (left.float() @ right.float().t()).to(partial).float()
    return total.to(x.dtype)  # type: ignore[no-any-return]


def vary(name: str) -> None:
    """Replace the product of every linear layer of vLLM; LookupError when this vLLM chooses it elsewhere."""
    import torch

    layers = importlib.import_module("vllm.model_executor.layers.utils")
    partial = getattr(torch, name)
    if not hasattr(layers, "dispatch_cpu_unquantized_gemm"):
        raise LookupError("this vLLM has no dispatch_cpu_unquantized_gemm")

    def dispatch(layer: Any, remove_weight: bool) -> None:  # noqa: ARG001
        layer.cpu_linear = lambda x, weight, bias: product(x, weight, bias, partial)

    layers.dispatch_cpu_unquantized_gemm = dispatch  # type: ignore[attr-defined]


# A spawned worker imports its parent's script under the second name.
if __name__ in ("__main__", "__mp_main__"):
    launcher = load_launcher()
    vary(os.environ["PARTIAL_SUMS"])
    if __name__ == "__main__":
        launcher.main()
