"""A checkpoint's weights with one change: rounded to few bits, or noisy. Every linear layer is changed, as engines do.

Embeddings, the output's matrix, norms and biases stay as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vlm_acceptance.reference.weights import Weights

# matrices that quantization leaves alone
KEPT = ("embed", "language_model.output.", "lm_head", "class_embedding", "position_embedding")
Change = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ChangedWeights:
    """Weights around others: `change` gets the name and the float32 values of each matrix of a linear layer."""

    weights: Weights
    change: Change

    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The size of each tensor by its name."""
        return self.weights.sizes()

    def tensor(self, name: str) -> Tensor:
        """A tensor, in float32 if it was changed, else as it is stored."""
        stored = self.weights.tensor(name)
        if stored.dim() != 2 or any(part in name for part in KEPT):
            return stored
        return self.change(name, stored.float())

    def rows(self, name: str, numbers: Sequence[int]) -> Tensor:
        """These rows of a matrix; only embeddings are read so, and they are not changed."""
        return self.weights.rows(name, numbers)


def whole_numbers(largest: int, group: int | None = None) -> Change:
    """Rounds to nearest, from -largest to largest; each row has its scale, or each group of so many of its inputs.

    The last group of a row may be smaller.
    """

    def change(_: str, matrix: Tensor) -> Tensor:
        parts = [matrix] if group is None else matrix.split(group, -1)
        return torch.cat([_rounded(part, largest) for part in parts], -1)

    return change


def _rounded(part: Tensor, largest: int) -> Tensor:
    scale = part.abs().amax(-1, keepdim=True).clamp_min(1e-12) / largest
    return (part / scale).round() * scale


def eight_bit_floats(_: str, matrix: Tensor) -> Tensor:
    """Rounds to e4m3, scaled so that the largest value of each row is the largest of that type."""
    kind = torch.float8_e4m3fn
    scale = matrix.abs().amax(-1, keepdim=True).clamp_min(1e-12) / torch.finfo(kind).max
    return (matrix / scale).to(kind).float() * scale


def noise(share: float) -> Change:
    """Normal noise of this share of each weight; the same for the same name of a tensor."""

    def change(name: str, matrix: Tensor) -> Tensor:
        chance = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        return matrix * (1 + share * torch.randn(matrix.shape, generator=chance))

    return change
