"""Loads the model of a reference by the route that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import shown
from vlm_acceptance.reference.prompt_form import SERVED
from vlm_acceptance.reference.prompts import Prompter
from vlm_acceptance.reference.routes import OWN, Choice, Opened
from vlm_acceptance.reference.vllm_version import keeps_base

if TYPE_CHECKING:
    from vlm_acceptance.reference.own import OwnRoute
    from vlm_acceptance.reference.transformers_route import TransformersRoute

DYNAMIC = "dynamic"


def opened(folder: Path, choice: Choice, threads: int) -> Opened:
    """The model, ready to compute with so many threads; UsageProblem for a model that the route does not compute."""
    import torch

    _require_same_layers(folder, choice)
    torch.set_num_threads(threads)
    return _own(folder, choice) if choice.route == OWN else _transformers(folder, choice)


def opened_both(folder: Path) -> tuple[OwnRoute, TransformersRoute, Prompter]:
    """Both routes over one folder, in fp32 and the published form, and its prompts."""
    from vlm_acceptance.reference.own import OwnRoute
    from vlm_acceptance.reference.transformers_route import TransformersRoute

    own = OwnRoute(folder, served=False)
    return own, TransformersRoute(folder), Prompter(folder, own.shape)


def _own(folder: Path, choice: Choice) -> Opened:
    from vlm_acceptance.reference import rope
    from vlm_acceptance.reference.own import OwnRoute

    served = rope.NEVER if keeps_base(choice.vllm) else rope.ALWAYS
    scalings = (served, rope.BEYOND) if choice.form == SERVED else (rope.BEYOND, served)
    route = OwnRoute(
        folder,
        arithmetic=choice.arithmetic,
        served=choice.form == SERVED,
        scaling=served,
        stream_layers=choice.stream_layers,
    )
    other = None
    if route.shape.language.rope.scaling == DYNAMIC:
        other = copy(route)  # the weights are shared
        other.scaling = scalings[1]
    return Opened(route, Prompter(folder, route.shape, choice.vllm), other)


def _transformers(folder: Path, choice: Choice) -> Opened:
    """The folder's own code if it names some for InternVL's family, else a class that transformers has."""
    from vlm_acceptance.reference.config_section import read_object
    from vlm_acceptance.reference.native_route import NativeRoute, ProcessorPrompts
    from vlm_acceptance.reference.transformers_route import KIND, TransformersRoute

    if choice.stream_layers:
        raise UsageProblem("--stream-layers: only --route own computes layer by layer")
    config = read_object(folder / "config.json")
    if choice.form == SERVED and _is_dynamic(config) and not keeps_base(choice.vllm):
        raise UsageProblem(
            f"--form: transformers computes the authors' dynamic rotary embedding, and vLLM {choice.vllm} another one; "
            "take --form published, or --route own"
        )
    if config.get("model_type") != KIND:
        return Opened(NativeRoute(folder, arithmetic=choice.arithmetic), ProcessorPrompts(folder))
    if "AutoModel" not in (config.get("auto_map") or {}):
        raise UsageProblem(f"--model: {shown(folder)} names no code for AutoModel (auto_map in its config.json)")
    route = TransformersRoute(folder, arithmetic=choice.arithmetic)
    return Opened(route, Prompter(folder, route, choice.vllm))


def _require_same_layers(folder: Path, choice: Choice) -> None:
    """For a positive select_layer vLLM 0.18 and 0.32 build one layer more (internvl.py) than the authors' code."""
    from vlm_acceptance.reference.config_section import read_object

    value = read_object(folder / "config.json").get("select_layer")
    if choice.form == SERVED and isinstance(value, int) and value > 0:
        raise UsageProblem(
            f"{shown(folder / 'config.json')}: select_layer is {value}, of which vLLM computes one layer more than the "
            "authors' code; take a value below 0, or --form published"
        )


def _is_dynamic(config: Mapping[str, Any]) -> bool:
    """Whether the language model's rotary embedding is scaled by the length."""
    for name in ("llm_config", "text_config"):
        section = config.get(name)
        for key in ("rope_scaling", "rope_parameters"):  # the second is of transformers 5
            scaling = section.get(key) if isinstance(section, dict) else None
            if isinstance(scaling, dict) and DYNAMIC in (scaling.get("type"), scaling.get("rope_type")):
                return True
    return False
