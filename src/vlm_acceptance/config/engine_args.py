"""What the arguments of an engine state about how it schedules requests, and on how many cards."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from vlm_acceptance.core.errors import UsageProblem

COPIES = "data-parallel-size"
# options of `vllm serve` that a run gives itself, with the keys that set them
OWN = {"port": "engine.port", "host": "engine.host", "served-model-name": "model.id"}
# options that multiply the cards of an engine, with their short names
PARALLEL = {"tensor-parallel-size": "tp", "pipeline-parallel-size": "pp", COPIES: "dp"}


def stated(engine_args: Sequence[object], name: str) -> str | None:
    """The value of `--NAME` in the arguments of an engine, given as one word or two; None without one."""
    words = [word for arg in map(str, engine_args) for word in (arg.split("=", 1) if arg.startswith("-") else [arg])]
    pairs = itertools.pairwise(words)
    given = [after for before, after in pairs if before.replace("_", "-") in (f"--{name}", f"-{name}")]
    return given[-1] if given else None


def stated_slots(engine_args: Sequence[object]) -> int | None:
    """How many requests run at once, by `--max-num-seqs`; None where it is not stated."""
    given = stated(engine_args, "max-num-seqs") or ""
    return int(given) if given.isdecimal() and int(given) else None


def has_copies(engine_args: Sequence[object]) -> bool:
    """Whether requests are spread over several copies of the model, each with slots of its own."""
    return any((stated(engine_args, name) or "1") != "1" for name in ("data-parallel-size", "dp"))


def schedules_by_priority(engine_args: Sequence[object]) -> bool:
    """Whether the engine serves requests by their priority, by `--scheduling-policy`."""
    return stated(engine_args, "scheduling-policy") == "priority"


def stated_seconds(engine_args: Sequence[object], name: str) -> float:
    """A time in whole seconds; 0 where it is not stated."""
    given = stated(engine_args, name) or ""
    return float(given) if given.isdecimal() else 0.0


def require_agreement(engine_args: Sequence[object], cards: int | None, llms: Mapping[str, Mapping[str, Any]]) -> None:
    """UsageProblem when parallel sizes need another number of cards, or an offline `LLM` has other sizes.

    `llms` are arguments of an offline `LLM` by their key. One that names no copies runs a single one.
    """
    sizes = {name: _stated_size(engine_args, name) for name in PARALLEL}
    needed = prod(sizes.values())
    stated_sizes = [f"--{name} {size}" for name, size in sizes.items() if size > 1]
    if cards is not None and needed != cards:
        said = f"{' and '.join(stated_sizes)} of engine.args" if stated_sizes else "engine.args without parallel sizes"
        raise UsageProblem(f"device.count: {cards}, but {said} need {needed}: they must agree")
    for key, llm in llms.items():
        for name, size in sizes.items():
            argument = name.replace("-", "_")
            own = llm.get(argument, size if name == COPIES else 1)
            if own != size:
                raise UsageProblem(f"{key}.{argument}: {own!r}, but engine.args has --{name} {size}: they must agree")


def require_none_of_ours(engine_args: Sequence[object]) -> None:
    """UsageProblem when the arguments of an engine have an option that the run gives itself."""
    for name, key in OWN.items():
        if any(str(arg).partition("=")[0].replace("_", "-") == f"--{name}" for arg in engine_args):
            raise UsageProblem(f"engine.args: --{name} is set by the suite: use {key}")


def _stated_size(engine_args: Sequence[object], name: str) -> int:
    given = [stated(engine_args, spelled) for spelled in (name, PARALLEL[name])]
    sizes = [int(text) for text in given if text is not None and text.isdecimal() and int(text)]
    return sizes[-1] if sizes else 1
