"""InternViT and the connector, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vlm_acceptance.reference.arithmetic import Arithmetic
from vlm_acceptance.reference.shape import RMS_NORM, Shape, VisionShape

# the connector's norm has torch's default
CONNECTOR_EPS = 1e-5

Tensors = Mapping[str, Tensor]
Sizes = dict[str, tuple[int, ...]]

EMBEDDINGS, CONNECTOR = "vision_model.embeddings.", "mlp1."


def layer_prefix(number: int) -> str:
    """What the names of a layer's tensors begin with."""
    return f"vision_model.encoder.layers.{number}."


def embedding_sizes(shape: VisionShape) -> Sizes:
    """Size of each tensor before the first layer, by its name behind EMBEDDINGS."""
    return {
        "class_embedding": (1, 1, shape.width),
        "patch_embedding.weight": (shape.width, 3, shape.patch, shape.patch),
        "patch_embedding.bias": (shape.width,),
        "position_embedding": (1, shape.side**2 + 1, shape.width),
    }


def layer_sizes(shape: VisionShape) -> Sizes:
    """Size of each tensor of one layer, by its name behind the layer's prefix."""
    width, mlp = shape.width, shape.mlp
    sizes: Sizes = {
        "attn.qkv.weight": (3 * width, width),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "mlp.fc1.weight": (mlp, width),
        "mlp.fc1.bias": (mlp,),
        "mlp.fc2.weight": (width, mlp),
        "mlp.fc2.bias": (width,),
        "norm1.weight": (width,),
        "norm2.weight": (width,),
        "ls1": (width,),
        "ls2": (width,),
    }
    if shape.qkv_bias:
        sizes["attn.qkv.bias"] = (3 * width,)
    if shape.qk_norm:
        sizes |= {"attn.q_norm.weight": (width,), "attn.k_norm.weight": (width,)}
    if shape.norm != RMS_NORM:
        sizes |= {"norm1.bias": (width,), "norm2.bias": (width,)}
    return sizes


def connector_sizes(shape: Shape) -> Sizes:
    """Size of each tensor between vision and language, by its name behind CONNECTOR."""
    joined, width = shape.vision.width * shape.shrink**2, shape.language.width
    return {
        "0.weight": (joined,),
        "0.bias": (joined,),
        "1.weight": (width, joined),
        "1.bias": (width,),
        "3.weight": (width, width),
        "3.bias": (width,),
    }


def embedded(tiles: Tensor, w: Tensors, arithmetic: Arithmetic) -> Tensor:
    """(tiles, patches + 1, width) of (tiles, 3, side, side): a class token, then the patches row by row."""
    kernel = w["patch_embedding.weight"]
    side = kernel.shape[-1]
    cut = F.unfold(arithmetic.rounded(tiles), side, stride=side).transpose(1, 2)
    patches = arithmetic.exact_linear(cut, kernel.flatten(1), w["patch_embedding.bias"])
    whole = torch.cat([w["class_embedding"].expand(len(tiles), 1, -1), patches], 1)
    return arithmetic.rounded(whole + w["position_embedding"])


def layer(x: Tensor, w: Tensors, shape: VisionShape, arithmetic: Arithmetic) -> Tensor:
    """One layer over (tiles, length, width): its two branches are scaled by ls1 and ls2."""
    attended = _attention(_norm(x, w, "norm1", shape, arithmetic), w, shape, arithmetic)
    x = arithmetic.rounded(x + arithmetic.rounded(attended * w["ls1"]))
    wide = arithmetic.linear(_norm(x, w, "norm2", shape, arithmetic), w["mlp.fc1.weight"], w["mlp.fc1.bias"])
    narrow = arithmetic.linear(arithmetic.rounded(F.gelu(wide)), w["mlp.fc2.weight"], w["mlp.fc2.bias"])
    return arithmetic.rounded(x + arithmetic.rounded(narrow * w["ls2"]))


def _norm(x: Tensor, w: Tensors, name: str, shape: VisionShape, arithmetic: Arithmetic) -> Tensor:
    if shape.norm == RMS_NORM:
        return arithmetic.rms_norm(x, w[f"{name}.weight"], shape.eps)
    return arithmetic.layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], shape.eps)


def _attention(x: Tensor, w: Tensors, shape: VisionShape, arithmetic: Arithmetic) -> Tensor:
    """Every patch sees every other; with qk_norm queries and keys are normed over all heads together."""
    q, k, v = arithmetic.linear(x, w["attn.qkv.weight"], w.get("attn.qkv.bias")).chunk(3, -1)
    if shape.qk_norm:
        q = arithmetic.rms_norm(q, w["attn.q_norm.weight"], shape.eps)
        k = arithmetic.rms_norm(k, w["attn.k_norm.weight"], shape.eps)
    n, length, width = x.shape
    q, k, v = (each.view(n, length, shape.heads, -1).transpose(1, 2) for each in (q, k, v))
    mixed = arithmetic.stored_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
    return arithmetic.linear(mixed, w["attn.proj.weight"], w["attn.proj.bias"])


def connected(x: Tensor, w: Tensors, shape: Shape, arithmetic: Arithmetic) -> Tensor:
    """(tiles, tokens a tile, width of the language model) of the last layer's output; the class token is dropped."""
    joined = shuffled(x[:, 1:], shape.shrink, shape.shuffle)
    normed = arithmetic.layer_norm(joined, w["0.weight"], w["0.bias"], CONNECTOR_EPS)
    wide = arithmetic.rounded(F.gelu(arithmetic.linear(normed, w["1.weight"], w["1.bias"])))
    return arithmetic.linear(wide, w["3.weight"], w["3.bias"])


def shuffled(x: Tensor, shrink: int, version: str) -> Tensor:
    """(tiles, patches / shrink², width · shrink²): patches side by side become one vector, first along a row.

    Version v1 leaves columns and rows of the result exchanged.
    """
    n, patches, width = x.shape
    side = round(patches**0.5)
    small = side // shrink
    x = x.reshape(n, side, small, width * shrink).transpose(1, 2)
    x = x.reshape(n, small, small, width * shrink**2)
    if version != "v1":
        x = x.transpose(1, 2)
    return x.reshape(n, small * small, -1)
