"""Figures from the engine's log: judged where the profile gives a tolerance, else reported."""

from __future__ import annotations

import dataclasses

from vlm_acceptance.config.profile import Measure
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.engine_figures import EngineFigures
from vlm_acceptance.core.finding import Finding

NOT_REPORTED = "not reported"


def shown(figures: EngineFigures) -> dict[str, str]:
    """Every figure of an engine's log by name; what the log does not say is `not reported`."""
    values = dataclasses.asdict(figures)
    return {name: NOT_REPORTED if value is None else str(value) for name, value in values.items()}


def mode_is(figures: EngineFigures, mode: str) -> list[Finding]:
    """The engine runs eager or with graphs as the profile says, where its log tells."""
    if figures.eager is None or figures.eager == (mode == "eager"):
        return []
    return [Finding(kinds.LOG_MODE, f"{mode} mode", "eager mode" if figures.eager else "graph mode", "server.log")]


def graphs_are(figures: EngineFigures, count: int | None) -> list[Finding]:
    """As many captured sizes as the profile expects, where it and the log tell."""
    if count is None or figures.graph_sizes is None or len(figures.graph_sizes) == count:
        return []
    return [Finding(kinds.LOG_GRAPHS, f"{count} captured sizes", str(len(figures.graph_sizes)), "server.log")]


def close_to(value: float | None, measure: Measure, what: str) -> list[Finding]:
    """The figure lies within the measure's tolerance; a figure that is not reported, or has none, is not judged."""
    if value is None or measure.tolerance is None:
        return []
    if abs(value - measure.value) <= measure.tolerance * measure.value:
        return []
    return [
        Finding(kinds.LOG_FIGURE, f"{what}: {measure.value:g} ± {measure.tolerance:.0%}", f"{value:g}", "server.log")
    ]
