"""Data: the tests that must refuse each mutant of the control, and mutants that none refuses. See owners.py."""

from __future__ import annotations

from check_ids import (
    ALL_LOGPROBS,
    CARD,
    CHART,
    CHINESE,
    GOLDEN,
    LOGPROBS,
    MANY_TILES,
    OCR,
    PROMPT,
    SCORED,
    TILES,
)

# the control broken on purpose, on the real engine: tests/proof/mutants.py and mutant_engine.py
MUTANTS: dict[str, tuple[str, ...]] = {
    "blind": (OCR, CHART, CARD, CHINESE, GOLDEN),
    "blind-mlp1": (OCR, CHART, CARD, CHINESE, GOLDEN),
    "bgr": (CARD, GOLDEN),
    "mean-std": (OCR, CARD, GOLDEN),
    "tiles-reversed": (OCR, CARD, GOLDEN, MANY_TILES[0]),
    "tiles-grey": (OCR, CARD, GOLDEN, MANY_TILES[0]),
    "tiles-dropped": (TILES, OCR, GOLDEN, *MANY_TILES),
    "thumbnail-grey": (GOLDEN, LOGPROBS),
    "thumbnail-first": (OCR, CARD, GOLDEN, LOGPROBS),
    "nearest": (GOLDEN, LOGPROBS),
    "no-thumbnail": (TILES, GOLDEN, *MANY_TILES),
    "no-tiling": (TILES, OCR, GOLDEN, *MANY_TILES),
    "pixel-shuffle-v1": (GOLDEN, LOGPROBS),
    "rope-base": (GOLDEN, LOGPROBS),
    "layer-dropped": (OCR, GOLDEN, LOGPROBS),
    "vision-layer-dropped": (LOGPROBS,),
    "norm-eps": (GOLDEN, LOGPROBS),
    "no-role-newline": (PROMPT, GOLDEN, LOGPROBS),
    "no-newline": (GOLDEN, LOGPROBS),
    "no-bos": (PROMPT, GOLDEN, LOGPROBS, *ALL_LOGPROBS, *SCORED),
    "no-generation-prompt": (OCR, GOLDEN),
    "foreign-system": (PROMPT, GOLDEN, LOGPROBS),
    "int3": (LOGPROBS, *ALL_LOGPROBS),
    "int4": (LOGPROBS, *ALL_LOGPROBS, *SCORED),
    "noise5": (LOGPROBS, *ALL_LOGPROBS, *SCORED),
    "fp8": (LOGPROBS, *ALL_LOGPROBS),
    # too near for a sample of twelve
    "bilinear": ALL_LOGPROBS,
    # a single stored answer shows it
    "noise1": (GOLDEN,),
    "tokenizer": (OCR, CHINESE, GOLDEN),
}

# mutants that no limit on the reference refuses: right deployments may lie as far. Their distance is recorded
DISTANT: dict[str, str] = {
    "int8": "weights of 8 bits",
    "norm-eps-10": "ten times the epsilon of the norms",
}
