"""Arithmetic that is as right as ours and rounds elsewhere, and a KV cache of 8 bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vlm_acceptance.reference.arithmetic import Arithmetic

# rows of attention weights that are in memory at once
ROWS = 512
INT8 = 127


@dataclass(frozen=True, slots=True)
class OtherOrder(Arithmetic):
    """Sums of linear layers run from the last input to the first, as another kernel's may."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """x · weightᵀ + bias."""
        return Arithmetic.linear(self, x.flip(-1), weight.flip(-1), bias)


@dataclass(frozen=True, slots=True)
class OtherNorms(Arithmetic):
    """Norms see their input as it is stored, and round once."""

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x by its root mean square and by the weight."""
        x = self.rounded(x)
        return self.rounded(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight)


@dataclass(frozen=True, slots=True)
class OtherAttention(Arithmetic):
    """The language model's attention weights are rounded before they meet the values, and the vision model's are not.

    Both are right: kernels that multiply in 16 bits round them.
    """

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """Softmax(q·kᵀ/√d)·v of (…, heads, length, d)."""
        rows = [self._attended(part, k, v, start, causal=causal) for start, part in _parts(q)]
        return self.rounded(torch.cat(rows, -2))

    def stored_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same of the vision model, rounded once."""
        return Arithmetic.attention(self, q, k, v, causal=False)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, start: int, *, causal: bool) -> Tensor:
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if causal:
            later = torch.arange(k.shape[-2]) > torch.arange(start, start + q.shape[-2])[:, None]
            scores = scores.masked_fill(later, -math.inf)
        most = scores.amax(-1, keepdim=True)
        weights = (scores - most).exp()
        # the sum keeps its digits; what it divides was rounded
        return (self.rounded(weights) @ v) / weights.sum(-1, keepdim=True)


@dataclass(frozen=True, slots=True)
class OtherRounding(OtherOrder, OtherNorms, OtherAttention):
    """All of these at once: about as far as another engine is."""


def _parts(q: Tensor) -> Iterator[tuple[int, Tensor]]:
    start = 0
    for part in q.split(ROWS, -2):
        yield start, part
        start += part.shape[-2]


@dataclass(frozen=True, slots=True)
class SmallCache(Arithmetic):
    """Keys and values of the language model as a cache of 8 bits holds them; those of the vision model are not kept."""

    stored: Callable[[Tensor], Tensor] = Tensor.float

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """Softmax(q·kᵀ/√d)·v of (…, heads, length, d); only the language model's is causal."""
        if causal:
            k, v = self.stored(k), self.stored(v)
        return Arithmetic.attention(self, q, k, v, causal=causal)


def cached_as_floats(x: Tensor) -> Tensor:
    """As e4m3 without a scale, which is what an engine does that was given none."""
    kind = torch.float8_e4m3fn
    most = torch.finfo(kind).max
    return x.clamp(-most, most).to(kind).float()


def cached_as_whole_numbers(x: Tensor) -> Tensor:
    """As whole numbers of 8 bits with a scale for each token and head."""
    scale = x.abs().amax(-1, keepdim=True).clamp_min(1e-12) / INT8
    return (x / scale).round() * scale
