"""The timeline of a run: stages, readiness, tests and waits, in seconds since the run began."""

from __future__ import annotations

import itertools
import json
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.made_context import context_of

from vlm_acceptance.client.processor import WaitHistory
from vlm_acceptance.core.exchange import NS
from vlm_acceptance.core.waiting import ProcessorReading
from vlm_acceptance.engine.readiness import Stage
from vlm_acceptance.run.record import Span
from vlm_acceptance.run.timeline import row_of


def reading(at_s: float, began_ns: int, waited_s: float | None) -> ProcessorReading:
    waited_ns = None if waited_s is None else round(waited_s * NS)
    return ProcessorReading(began_ns + round(at_s * NS), None, waited_ns, 0 if waited_s is not None else None)


def test_a_stage_and_a_test_are_spans_of_the_run(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    timeline = context.record.timeline
    with pytest.raises(OSError, match="it broke"), context._stage("engine", "starting"):
        raise OSError("it broke")
    timeline.add("test", "t.py::test_a", timeline.began_ns, "health", "passed")
    stage, test = row_of(context)["spans"]
    assert (stage["kind"], stage["name"]) == ("stage", "engine") and 0 <= stage["begin_s"] <= stage["end_s"]
    assert {key: test[key] for key in ("name", "area", "outcome", "begin_s")} == {
        "name": "t.py::test_a", "area": "health", "outcome": "passed", "begin_s": 0,
    }  # fmt: skip
    began = datetime.fromisoformat(row_of(context)["began_utc"])
    assert began.utcoffset() is not None and began <= datetime.now(began.tzinfo)


def test_the_steps_of_the_start_end_when_the_engine_was_ready(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    timeline = context.record.timeline
    timeline.spans.append(Span("stage", "engine", "", "", timeline.began_ns, timeline.began_ns + 30 * NS))
    stages = [Stage("port", True, 20.0, ""), Stage("model", False, 5.0, "")]
    context.launch.value = SimpleNamespace(stages=stages)  # type: ignore[assignment]
    assert row_of(context)["readiness"] == [
        {"name": "port", "ok": True, "begin_s": 5, "end_s": 25},
        {"name": "model", "ok": False, "begin_s": 25, "end_s": 30},
    ]


def test_waits_are_stretches_between_readings(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    began = context.record.timeline.began_ns
    seen = [(0.0, 0.0), (1.0, 0.25), (2.0, None), (3.0, 1.0), (3.0, 1.0), (4.0, 1.5)]
    vars(context)["wait_history"] = SimpleNamespace(whole=[reading(at_s, began, waited) for at_s, waited in seen])
    waits = row_of(context)["waits"]
    assert waits == {"begin_s": [0, 3], "end_s": [1, 4], "waited_s": [0.25, 0.5]}


def test_a_run_without_an_engine_has_an_empty_timeline(tmp_path: Path) -> None:
    row = row_of(context_of(tmp_path))
    assert (row["spans"], row["readiness"], row["waits"]["waited_s"]) == ([], [], [])
    json.dumps(row)


def test_a_long_history_keeps_fewer_readings_and_the_whole_time() -> None:
    history = WaitHistory(SimpleNamespace())  # type: ignore[arg-type]
    began = time.monotonic_ns()
    for second in range(5000):
        history._keep(ProcessorReading(began + second * NS, own_ns=7, engine_ns=second))
    whole = history.whole
    assert 300 <= len(whole) < 600
    assert whole[0].at_ns == began and whole[-1].at_ns > began + 4980 * NS
    steps = {later.at_ns - earlier.at_ns for earlier, later in itertools.pairwise(whole)}
    assert len(steps) == 1 and {one.own_ns for one in whole} == {None}
