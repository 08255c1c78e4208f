"""When what happened in a run: its stages, its tests, and the waits for a processor, for the report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from vlm_acceptance.core.exchange import NS
from vlm_acceptance.core.waiting import ProcessorReading, between
from vlm_acceptance.run.context import RunContext

ENGINE = "engine"


def row_of(context: RunContext) -> dict[str, Any]:
    """The timeline as JSON, in seconds since `began_utc`; `waits` are seconds of waiting that can explain a delay."""
    timeline = context.record.timeline
    spans = [
        {
            "kind": span.kind,
            "name": span.name,
            "area": span.area,
            "outcome": span.outcome,
            "begin_s": _since(timeline.began_ns, span.began_ns),
            "end_s": _since(timeline.began_ns, span.ended_ns),
        }
        for span in timeline.spans
    ]
    readings = context.wait_history.whole if "wait_history" in vars(context) else []
    return {
        "began_utc": timeline.began_utc.isoformat(timespec="seconds"),
        "spans": spans,
        "readiness": _readiness(context),
        "waits": _waits(readings, timeline.began_ns),
    }


def _since(began_ns: int, at_ns: int) -> float:
    return round((at_ns - began_ns) / NS, 3)


def _readiness(context: RunContext) -> list[dict[str, Any]]:
    """The stages of readiness, one after the other, so that the last one ends when the engine was ready."""
    deployment, timeline = context.launch.value, context.record.timeline
    engine = next((span for span in timeline.spans if span.kind == "stage" and span.name == ENGINE), None)
    if deployment is None or engine is None:
        return []
    ends_s = list(itertools.accumulate(stage.seconds for stage in deployment.stages))
    start_s = _since(timeline.began_ns, engine.ended_ns) - (ends_s[-1] if ends_s else 0.0)
    return [
        {
            "name": stage.name,
            "ok": stage.ok,
            "begin_s": round(start_s + end_s - stage.seconds, 3),
            "end_s": round(start_s + end_s, 3),
        }
        for stage, end_s in zip(deployment.stages, ends_s, strict=True)
    ]


def _waits(readings: Sequence[ProcessorReading], began_ns: int) -> dict[str, list[float]]:
    """Columns: from, to, and seconds of waiting between two readings; stretches without an observation are left out."""
    columns: dict[str, list[float]] = {"begin_s": [], "end_s": [], "waited_s": []}
    for earlier, later in itertools.pairwise(readings):
        waited = between(earlier, later)
        if waited.is_observed and later.at_ns > earlier.at_ns:
            values = (_since(began_ns, earlier.at_ns), _since(began_ns, later.at_ns), round(waited.explained_s, 4))
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    return columns
