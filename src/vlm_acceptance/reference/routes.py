"""The routes to a reference by name, each with what makes its prompts."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.logprobs import LogProbPrompt
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import PUBLISHED, SERVED, PromptForm
from vlm_acceptance.reference.route import Asked, Route

OWN, TRANSFORMERS = "own", "transformers"
ROUTES = (OWN, TRANSFORMERS)
ARITHMETIC = ("float32", "bfloat16", "float16")
NEEDED = ("torch", "transformers", "safetensors")


class Asks(Protocol):
    """What makes the prompts of a model."""

    def asked(
        self,
        prompt: LogProbPrompt,
        images: Path,
        form: PromptForm | None = None,
        pictures: PictureForm | None = None,
    ) -> Asked:
        """A prompt as the network gets it."""

    def text(self, tokens: tuple[int, ...]) -> str:
        """The text of an answer, without special tokens."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What decides the figures of a reference, beside the model and its prompts."""

    route: str = OWN
    arithmetic: str = "float32"
    form: str = SERVED
    vllm: str = ""
    group: int = 12
    stream_layers: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A model ready to compute: its route, its prompts, and its route in the other form (None: the same route)."""

    route: Route
    asks: Asks
    other_route: Route | None = None


def other_form(form: str) -> str:
    """Published for served, and the other way round."""
    return PUBLISHED if form == SERVED else SERVED


def require_packages() -> None:
    """EnvironmentProblem when this interpreter lacks what the computation needs."""
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise EnvironmentProblem(
            f"{', '.join(absent)} not installed in {sys.executable}: run this with the engine's interpreter "
            "(vlm-acceptance reference --engine-python VENV/bin/python ...), or install torch and transformers here; "
            "no accelerator is needed"
        )
