"""Values of one engine: the figures that it logs when it starts, and how its processes ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Figures of an engine's start; None if the log does not report them. Sizes are GiB, also where vLLM writes GB.

    `graph_sizes` are the batch sizes captured as graphs: empty in eager mode.
    """

    version: str | None = None
    weights_load_s: float | None = None
    model_memory_gib: float | None = None
    kv_cache_tokens: int | None = None
    kv_cache_gib: float | None = None
    max_concurrency: float | None = None
    graph_capture_s: float | None = None
    engine_init_s: float | None = None
    alloc_conf: str | None = None
    eager: bool | None = None
    graph_sizes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a process tree ended: `killed` needed SIGKILL, `left` survived it (descriptions of processes)."""

    code: int | None
    on_request: bool
    seconds: float
    killed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
