"""What a reference file holds beside its rows: where its log probabilities come from, and what they can see.

A reference is a baseline (core/logprobs.py) that an implementation on a CPU computed from the checkpoint itself. Its
first line is an Origin; its last lines, if power was measured, are Changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KEY, CHANGE_KEY = "reference", "change"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Who computed a reference, from what, and how.

    `route` is own or transformers; `arithmetic` float32, bfloat16 or float16; `form` served or published: the prompt
    and the rotary embedding as vLLM has them, or as the checkpoint's authors have them. `files` are SHA-256 by name.
    `group` prompts were computed together.
    """

    model: str
    files: Mapping[str, str]
    code: str
    route: str
    arithmetic: str
    form: str
    top: int
    versions: Mapping[str, str] = field(default_factory=dict)
    group: int = 0


@dataclass(frozen=True, slots=True)
class PromptDistance:
    """How far one prompt moved, in nats: sums over its tokens, so that prompts can be drawn and added.

    `listed` counts tokens in both lists, `possible` those of the reference's lists; `shift` is the sum of |Δ| over the
    listed ones and `largest` their greatest; `chosen` is the sum of |Δ| over the `tokens` that the reference chose.
    """

    shift: float
    largest: float
    listed: int
    possible: int
    chosen: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was changed on purpose, and the distance of each prompt, by its id; `floor`: it is no fault."""

    name: str
    floor: bool
    prompts: Mapping[str, PromptDistance]
