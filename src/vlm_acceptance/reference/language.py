"""One decoder layer of InternLM2 or Qwen2 over several sequences, with their keys and values of earlier tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vlm_acceptance.reference.arithmetic import Arithmetic
from vlm_acceptance.reference.shape import INTERNLM2, LanguageShape

# rows of the feed-forward part that are computed at once: it is four times as wide as the rest
MOST_ROWS = 1024

Sizes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The tensors of one layer in one order for both kinds; rows of qkv are all queries, all keys, all values."""

    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    gate: Tensor
    up: Tensor
    down: Tensor
    attention_norm: Tensor
    mlp_norm: Tensor


class Memory:
    """Keys and values of one sequence for each layer, (kv heads, length, head), with room for `most` tokens."""

    def __init__(self, shape: LanguageShape, most: int) -> None:
        self.size = (shape.kv_heads, most, shape.head)
        self.pairs: dict[int, tuple[Tensor, Tensor]] = {}
        self.length: dict[int, int] = {}

    def extended(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Those of all tokens so far, these ones included."""
        if layer not in self.pairs:
            self.pairs[layer] = (k.new_empty(self.size), v.new_empty(self.size))
        before = self.length.get(layer, 0)
        after = self.length[layer] = before + k.shape[1]
        keys, values = self.pairs[layer]
        keys[:, before:after], values[:, before:after] = k, v
        return keys[:, :after], values[:, :after]


@dataclass(frozen=True, slots=True)
class Span:
    """Where one sequence stands among the rows, how its places turn, and its memory if there is one."""

    rows: slice
    cos: Tensor
    sin: Tensor
    memory: Memory | None


def layer_prefix(number: int) -> str:
    """What the names of a layer's tensors begin with."""
    return f"language_model.model.layers.{number}."


def names(shape: LanguageShape) -> tuple[str, str, str]:
    """The names of the embedding, of the last norm and of the output's matrix."""
    kind = "tok_embeddings" if shape.kind == INTERNLM2 else "embed_tokens"
    embedding = f"language_model.model.{kind}.weight"
    head = "language_model.output.weight" if shape.kind == INTERNLM2 else "language_model.lm_head.weight"
    return embedding, "language_model.model.norm.weight", embedding if shape.tied else head


def layer_sizes(shape: LanguageShape) -> Sizes:
    """Size of each tensor of one layer, by its name behind the layer's prefix."""
    width, mlp = shape.width, shape.mlp
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    if shape.kind == INTERNLM2:
        sizes: Sizes = {
            "attention.wqkv.weight": (queries + 2 * keys, width),
            "attention.wo.weight": (width, queries),
            "feed_forward.w1.weight": (mlp, width),
            "feed_forward.w3.weight": (mlp, width),
            "feed_forward.w2.weight": (width, mlp),
            "attention_norm.weight": (width,),
            "ffn_norm.weight": (width,),
        }
        if shape.bias:
            sizes |= {"attention.wqkv.bias": (queries + 2 * keys,), "attention.wo.bias": (width,)}
        return sizes
    return {
        "self_attn.q_proj.weight": (queries, width),
        "self_attn.q_proj.bias": (queries,),
        "self_attn.k_proj.weight": (keys, width),
        "self_attn.k_proj.bias": (keys,),
        "self_attn.v_proj.weight": (keys, width),
        "self_attn.v_proj.bias": (keys,),
        "self_attn.o_proj.weight": (width, queries),
        "mlp.gate_proj.weight": (mlp, width),
        "mlp.up_proj.weight": (mlp, width),
        "mlp.down_proj.weight": (width, mlp),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }


def layer_weights(w: Mapping[str, Tensor], shape: LanguageShape) -> LayerWeights:
    """The tensors of a layer in one order; w has them by their names behind the layer's prefix."""
    if shape.kind == INTERNLM2:
        return LayerWeights(
            _regrouped(w["attention.wqkv.weight"], shape),
            _regrouped(w["attention.wqkv.bias"], shape) if shape.bias else None,
            w["attention.wo.weight"],
            w.get("attention.wo.bias"),
            w["feed_forward.w1.weight"],
            w["feed_forward.w3.weight"],
            w["feed_forward.w2.weight"],
            w["attention_norm.weight"],
            w["ffn_norm.weight"],
        )
    parts = [f"self_attn.{name}_proj" for name in "qkv"]
    return LayerWeights(
        torch.cat([w[f"{part}.weight"] for part in parts]),
        torch.cat([w[f"{part}.bias"] for part in parts]),
        w["self_attn.o_proj.weight"],
        None,
        w["mlp.gate_proj.weight"],
        w["mlp.up_proj.weight"],
        w["mlp.down_proj.weight"],
        w["input_layernorm.weight"],
        w["post_attention_layernorm.weight"],
    )


def _regrouped(wqkv: Tensor, shape: LanguageShape) -> Tensor:
    """All queries, all keys, all values, of rows that hold for each KV head its queries, its key and its value."""
    grouped = wqkv.view(shape.kv_heads, shape.group + 2, shape.head, *wqkv.shape[1:])
    parts = grouped[:, : shape.group], grouped[:, shape.group], grouped[:, shape.group + 1]
    return torch.cat([part.reshape(-1, *wqkv.shape[1:]) for part in parts])


def layer(
    number: int,
    x: Tensor,
    rest: Tensor | None,
    spans: Sequence[Span],
    w: LayerWeights,
    shape: LanguageShape,
    arithmetic: Arithmetic,
) -> tuple[Tensor, Tensor]:
    """What one layer adds, and what it is added to; both (rows, width), of the layer before or of the embedding."""
    normed, rest = add_norm(x, rest, w.attention_norm, shape.eps, arithmetic)
    mixed = _attention(number, normed, spans, w, shape, arithmetic)
    normed, rest = add_norm(mixed, rest, w.mlp_norm, shape.eps, arithmetic)
    parts = [_feed_forward(rows, w, arithmetic) for rows in normed.split(MOST_ROWS)]
    return torch.cat(parts), rest


def add_norm(
    x: Tensor, rest: Tensor | None, weight: Tensor, eps: float, arithmetic: Arithmetic
) -> tuple[Tensor, Tensor]:
    """The normed sum, and the sum as it is stored; the norm sees it before it is rounded, as vLLM's fused one does."""
    if rest is None:
        return arithmetic.rms_norm(x, weight, eps), x
    whole = x + rest
    return arithmetic.rms_norm(whole, weight, eps), arithmetic.rounded(whole)


def _feed_forward(x: Tensor, w: LayerWeights, arithmetic: Arithmetic) -> Tensor:
    gate = arithmetic.rounded(F.silu(arithmetic.linear(x, w.gate)))
    return arithmetic.linear(arithmetic.rounded(gate * arithmetic.linear(x, w.up)), w.down)


def _attention(
    number: int, x: Tensor, spans: Sequence[Span], w: LayerWeights, shape: LanguageShape, arithmetic: Arithmetic
) -> Tensor:
    """The linear parts over all rows at once; each sequence sees only itself."""
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    q, k, v = arithmetic.linear(x, w.qkv, w.qkv_bias).split([queries, keys, keys], -1)
    mixed = [_mixed(number, (q[each.rows], k[each.rows], v[each.rows]), each, shape, arithmetic) for each in spans]
    return arithmetic.linear(torch.cat(mixed), w.out, w.out_bias)


def _mixed(
    number: int, rows: tuple[Tensor, Tensor, Tensor], span: Span, shape: LanguageShape, arithmetic: Arithmetic
) -> Tensor:
    """(length, heads · head) of the rows of one sequence: each token sees itself and those before it."""
    length = len(rows[0])
    q, k, v = (each.reshape(length, -1, shape.head).transpose(0, 1) for each in rows)
    q, k = (_turned(each, span.cos, span.sin, arithmetic) for each in (q, k))
    if span.memory is not None:
        k, v = span.memory.extended(number, k, v)
    if length == 1:
        # the heads of a group share their keys: they stand as its rows, and nothing is repeated in memory
        grouped = q.reshape(shape.kv_heads, shape.group, shape.head)
        return arithmetic.attention(grouped[None], k[None], v[None], causal=False).reshape(1, -1)
    k, v = (each.repeat_interleave(shape.group, 0) for each in (k, v))
    mixed = arithmetic.attention(q[None], k[None], v[None], causal=True)[0]
    return mixed.transpose(0, 1).reshape(length, -1)


def _turned(x: Tensor, cos: Tensor, sin: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Each pair of numbers, one from each half of a head, turned by the angle of its place."""
    cos, sin = arithmetic.rounded(cos), arithmetic.rounded(sin)
    first, second = x.chunk(2, -1)
    return arithmetic.rounded(torch.cat([first * cos - second * sin, second * cos + first * sin], -1))
