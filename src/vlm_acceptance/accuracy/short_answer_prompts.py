"""Prompts of the data sets of short answers: InternVL's own script, and VLMEvalKit's for InternVL2.

Both say the same sentence behind the question: the script after one blank, VLMEvalKit on a line of its own.
"""

from __future__ import annotations

from vlm_acceptance.accuracy.item import Item
from vlm_acceptance.accuracy.protocol import (
    ENDPOINT,
    IMAGE,
    INTERNVL_SYSTEM,
    SHORT_TAIL,
    Composed,
    Protocol,
    opaque,
    without_placeholders,
)

VLMEVALKIT_TOKENS = 1024  # of July 2024, when the published figures were measured
_JPEG = "Pictures are sent as published; the original saves each as JPEG once more before it is tiled."


def internvl_script(scorer: str, tiles: int, max_tokens: int) -> Protocol:
    """InternVL's eval/vqa/evaluate_vqa.py (MIT licence), with the tile limit and the tokens of one data set."""
    return Protocol(
        "internvl",
        _internvl,
        scorer,
        INTERNVL_SYSTEM,
        max_tokens,
        ENDPOINT,
        max_tiles=tiles,
        tiles=tiles,
        min_tokens=1,
    )


def vlmevalkit(scorer: str, tiles: int) -> Protocol:
    """VLMEvalKit's prompt of InternVL2 for visual questions (Apache-2.0 licence), with the tile limit of a data set."""
    return Protocol(
        "vlmevalkit",
        _vlmevalkit,
        scorer,
        INTERNVL_SYSTEM,
        VLMEVALKIT_TOKENS,
        (*ENDPOINT, _JPEG),
        max_tiles=tiles,
        tiles=tiles,
    )


def _internvl(item: Item) -> Composed:
    pictures = tuple(opaque(picture) for picture in item.pictures)
    before, placeholder, after = item.question.partition(IMAGE)
    if placeholder and pictures:  # the script puts the picture there, and takes only the first one for a placeholder
        return f"{before}{IMAGE}{without_placeholders(after)} {SHORT_TAIL}", pictures
    return f"{IMAGE}\n" * len(pictures) + f"{without_placeholders(item.question)} {SHORT_TAIL}", pictures


def _vlmevalkit(item: Item) -> Composed:
    pictures = tuple(opaque(picture) for picture in item.pictures)
    return f"{IMAGE}\n" * len(pictures) + f"{without_placeholders(item.question)}\n{SHORT_TAIL}", pictures
