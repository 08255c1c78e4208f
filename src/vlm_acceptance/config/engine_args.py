"""What the arguments of an engine state about how it schedules requests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def stated(engine_args: Sequence[object], name: str) -> str | None:
    """The value of `--NAME` in the arguments of an engine, given as one word or two; None without one."""
    words = [word for arg in map(str, engine_args) for word in (arg.split("=", 1) if arg.startswith("--") else [arg])]
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
