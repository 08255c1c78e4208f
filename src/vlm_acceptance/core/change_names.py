"""What the changes of a reference file are called in sentences."""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, str] = {
    "again": "the same once more",
    "fp32": "float32 arithmetic",
    "bf16": "bfloat16 arithmetic",
    "fp16": "float16 arithmetic",
    "other-order": "sums in another order",
    "other-norms": "norms rounded once",
    "other-attention": "attention weights rounded",
    "other-rounding": "another engine's rounding",
    "int8": "weights at 8 bits",
    "int8-g128": "weights at 8 bits in groups of 128",
    "int8-g32": "weights at 8 bits in groups of 32",
    "fp8": "weights at 8 bits (e4m3)",
    "int4": "weights at 4 bits in groups of 32",
    "int4-g128": "weights at 4 bits in groups of 128",
    "int4-channel": "weights at 4 bits",
    "noise1": "1 % noise on the weights",
    "noise2": "2 % noise on the weights",
    "noise5": "5 % noise on the weights",
    "layer-dropped": "a layer of the language model missing",
    "vision-layer-dropped": "a layer of the vision model missing",
    "norm-eps-10": "norm epsilon × 10",
    "norm-eps": "norm epsilon × 1000",
    "rope-base": "half the base of the rotary embedding",
    "no-bos": "no <s> before the prompt",
    "no-role-newline": "no line feed behind roles",
    "foreign-system": "a foreign system message",
    "bgr": "colours in the order BGR",
    "mean-std": "another mean and deviation of colours",
    "nearest": "pictures resized by the nearest pixel",
    "bilinear": "pictures resized bilinearly",
    "no-thumbnail": "no thumbnail",
    "thumbnail-first": "the thumbnail first",
    "tiles-reversed": "tiles in reverse order",
    "kv-int8": "a KV cache of 8 bits",
    "kv-fp8": "a KV cache of 8 bits (e4m3)",
}


def phrase(name: str) -> str:
    """The change in words; a name that is not known, as of a repeat of a deployment, is its own."""
    return PHRASES.get(name, name)
