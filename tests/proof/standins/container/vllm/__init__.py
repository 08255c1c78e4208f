"""A stand-in for the package `vllm`, started as `python -m vllm.entrypoints.cli.main` or used offline.

Its answers prove nothing about a deployment: it is there for what happens around an engine.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch_npu

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import start_log


class SamplingParams:
    """Accepts the arguments of the real class."""

    def __init__(self, **given: Any) -> None:
        self.given = given


class LLM:
    """Answers every conversation with the same word."""

    def __init__(self, model: str, **given: Any) -> None:
        self.model = model
        torch_npu.autoload()
        eager = bool(given.get("enforce_eager"))
        print(start_log.config(model, eager), *start_log.capture(eager), sep="\n", flush=True)

    def chat(self, messages: list[Any], params: list[SamplingParams], use_tqdm: bool = True) -> list[Any]:
        """One answer for each conversation, in the shape of vLLM's outputs."""
        said = SimpleNamespace(text="word", finish_reason="stop", token_ids=[1, 2])
        return [SimpleNamespace(outputs=[said], prompt_token_ids=[1]) for _ in messages]
