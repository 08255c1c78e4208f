"""Loads our own route with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from vlm_acceptance.core.reference import Origin
from vlm_acceptance.reference import rope
from vlm_acceptance.reference.changes import Variant
from vlm_acceptance.reference.own import OwnRoute
from vlm_acceptance.reference.power import Ready
from vlm_acceptance.reference.prompt_form import SERVED
from vlm_acceptance.reference.prompts import Prompter
from vlm_acceptance.reference.shape import read_shape
from vlm_acceptance.reference.vllm_version import TARGET, keeps_base
from vlm_acceptance.reference.weights import Checkpoint


def opener(folder: Path, origin: Origin, threads: int, *, stream_layers: bool) -> Callable[[Variant], Ready]:
    """A function that loads the folder's model, as the reference was computed, with a change.

    UsageProblem for a model that our own route does not compute.
    """
    torch.set_num_threads(threads)
    shape, vllm = read_shape(folder), origin.versions.get("vllm", TARGET)
    prompter, weights = Prompter(folder, shape, vllm), Checkpoint(folder)

    def opened(variant: Variant) -> Ready:
        kind = variant.type or origin.arithmetic
        route = OwnRoute(
            folder,
            arithmetic=kind,
            served=origin.form == SERVED,
            scaling=rope.NEVER if keeps_base(vllm) else rope.ALWAYS,
            picture_form=variant.pictures,
            stream_layers=stream_layers,
            weights=variant.weights(weights),
            shape=variant.shape(shape),
        )
        route.arithmetic = route.parts.arithmetic = variant.arithmetic(kind)
        return Ready(route, prompter)

    return opened
