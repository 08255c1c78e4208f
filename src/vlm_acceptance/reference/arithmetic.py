"""Where numbers are rounded: everything is computed in float32, and what an engine stores is rounded to its type.

So a reference in bfloat16 needs no machine that computes in it, and is the same on every one. Float64 is for proofs:
two implementations of one function agree in it to the last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

TYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The type in which an engine stores what it computes; its numbers are held in float32."""

    name: str = "float32"

    def rounded(self, x: Tensor) -> Tensor:
        """The numbers as this type holds them, in float32, or in float64 if that is the type."""
        return x.to(TYPES[self.name]).to(self.wide)

    @property
    def wide(self) -> torch.dtype:
        """The type in which numbers are held."""
        return torch.float64 if self.name == "float64" else torch.float32

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """x · weightᵀ + bias, summed in float32 and rounded once."""
        return self.rounded(F.linear(x, weight, bias))

    def exact_linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The same, summed in float64: nearer to an engine whose kernel adds in another order."""
        return self.rounded(F.linear(x.double(), weight.double(), bias.double()))

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Mean and variance in float32, rounded once."""
        kind = TYPES[self.name]
        return F.layer_norm(x.to(kind), (x.shape[-1],), weight.to(kind), bias.to(kind), eps).to(self.wide)

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x by its root mean square, rounded, then by the weight, rounded again."""
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        return self.rounded(self.rounded(x * scale) * weight)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """Softmax(q·kᵀ/√d)·v of (…, heads, length, d), rounded once; memory grows with the length, not its square."""
        return self.rounded(F.scaled_dot_product_attention(q, k, v, is_causal=causal))

    def stored_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same as a kernel computes it whose weights of the values are rounded, too: vLLM's for pictures."""
        kind = TYPES[self.name]
        return F.scaled_dot_product_attention(q.to(kind), k.to(kind), v.to(kind)).to(self.wide)
