"""Values of one engine: the figures that it logs when it starts, and how its processes ended."""

from __future__ import annotations

from dataclasses import dataclass

# children of an engine that outlive it by more than this are worth a note
LATE_S = 5.0


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Figures of an engine's start; None if the log does not report them. Sizes are GiB, also where vLLM writes GB.

    `eager`, `cudagraph_mode` and `graph_sizes` (batch sizes to capture) are what the engine was configured for,
    `graphs_captured` and `graph_capture_s` what it did.
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
    cudagraph_mode: str | None = None
    graphs_captured: int | None = None

    @property
    def mode(self) -> str | None:
        """`graph` only if graphs were captured, whatever was configured; `eager` if none were; None: not reported."""
        if self.graph_capture_s is not None and self.cudagraph_mode != "NONE":
            return "graph"
        is_reported = any(value is not None for value in (self.eager, self.cudagraph_mode, self.graph_capture_s))
        return "eager" if is_reported else None

    @property
    def mode_shown(self) -> str:
        """The mode and what it was read from, for reports."""
        if self.mode is None:
            return "mode not reported"
        if self.mode == "graph":
            count = self.graphs_captured if self.graphs_captured is not None else len(self.graph_sizes or ())
            kind = f" ({self.cudagraph_mode})" if self.cudagraph_mode else ""
            return f"graph mode{kind}, {count or 'unknown number of'} sizes captured in {self.graph_capture_s:g} s"
        asked = "" if self.eager is None else f", enforce_eager={self.eager}"
        kind = "" if self.cudagraph_mode is None else f", cudagraph_mode {self.cudagraph_mode}"
        return f"eager mode (no graph captured{asked}{kind})"


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a process tree ended: `killed` needed SIGKILL, `left` survived it, `late` ended by themselves, but later than
    LATE_S seconds after the engine (descriptions of processes).
    """

    code: int | None
    on_request: bool
    seconds: float
    killed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
