"""Figures from the engine's log: judged where the profile gives a tolerance, else reported."""

from __future__ import annotations

import dataclasses
from typing import Any

from vlm_acceptance.outcome import Finding
from vlm_acceptance.profile import Measure

NOT_REPORTED = "not reported"


def shown(facts: Any) -> dict[str, str]:
    """Every figure of a LogFacts by name; what the log does not say is `not reported`."""
    values = dataclasses.asdict(facts)
    return {name: NOT_REPORTED if value is None else str(value) for name, value in values.items()}


def close_to(value: float | None, measure: Measure, what: str) -> list[Finding]:
    """The figure lies within the measure's tolerance; a figure that is not reported, or has none, is not judged."""
    if value is None or measure.tolerance is None:
        return []
    if abs(value - measure.value) <= measure.tolerance * measure.value:
        return []
    return [Finding("log.figure", f"{what}: {measure.value:g} ± {measure.tolerance:.0%}", f"{value:g}", "server.log")]
