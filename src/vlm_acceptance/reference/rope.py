"""The rotary embedding: how fast each pair of a head's numbers turns with the position."""

from __future__ import annotations

import torch
from torch import Tensor

from vlm_acceptance.reference.shape import Rope

# how dynamic scaling is computed: by the authors' code, and by two generations of vLLM
BEYOND, ALWAYS, NEVER = "beyond", "always", "never"
SCALINGS = (BEYOND, ALWAYS, NEVER)


def base(rope: Rope, head: int, length: int, scaling: str) -> float:
    """The base for heads of `head` numbers in a sequence of `length` tokens.

    Dynamic scaling: InternLM2's own code scales `beyond` the trained positions, by the length; vLLM up to 0.18 `always`
    scales as for `factor` times as many; vLLM 0.32 `never` does.
    """
    if rope.scaling != "dynamic" or scaling == NEVER:
        return rope.theta
    reached = rope.positions * rope.factor if scaling == ALWAYS else max(length, rope.positions)
    stretch = rope.factor * reached / rope.positions - (rope.factor - 1)
    return float(rope.theta * stretch ** (head / (head - 2)))


def turns(
    rope: Rope, head: int, positions: Tensor, scaling: str, kind: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Cosine and sine for each of the positions, each (positions, head / 2)."""
    whole = base(rope, head, int(positions.max()) + 1, scaling)
    rates = 1.0 / whole ** (torch.arange(0, head, 2, dtype=kind) / head)
    places = positions.to(kind)
    if rope.scaling == "linear":
        places = places / rope.factor
    angles = places[:, None] * rates
    return angles.cos(), angles.sin()
