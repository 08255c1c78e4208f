"""What a run stores of its tests becomes the same value again, and nothing else becomes a value."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.checks.hang import Hang, Reading
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.load_steps import Climb, Rung, State, Step, Taken
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.errors import NotStored
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.stored_values import value_of
from vlm_acceptance.core.waiting import ProcessorReading, Waited
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.engine.offline import OfflineRun
from vlm_acceptance.report.store import as_json
from vlm_acceptance.workloads.leaving import Leave
from vlm_acceptance.workloads.load import Burst
from vlm_acceptance.workloads.soak import Served, Soak

SENT = Exchange("r00007", Request("POST", "/v1/x"), "2026-01-01T00:00:00.000+00:00", 5, 9, 200)
FAULT = Finding(kinds.LOAD_ANSWER, "this", "that", "here", SENT)
SAMPLE = Sample(0.1, None, 0.30000000000000004, 7, {"e2e_s": Waited(0.25, own_s=0.0)})
REPLY = Reply("a\u2028b", "stop", Usage(3, 2, 5), "m", 0.0)

VALUES: Mapping[str, tuple[Any, Any]] = {
    "burst": (Burst, Burst({0: SENT, 3: SENT}, Hang(1.5, 2, {"vllm:x": 1.0}, 0.0))),
    "leave": (Leave, Leave(0.0, 4.0, (SENT,), ((0.1, 3.0), (0.2, None)), None)),
    "soak": (
        Soak,
        Soak(
            [Served(0.5, SAMPLE, FAULT, own_s=0.01), Served(1.0, None, None, counted=False, starved=True)],
            array("d", [0.1, 0.2]),
            [Reading(0.5, None, 1, 2, 3.5, None, ProcessorReading(7, 1, None, cpus=2))],
            seconds=2.5,
            processors=[ProcessorReading(7)],
            began_ns=1 << 60,
        ),
    ),
    "climb": (
        Climb,
        Climb("text-256", 260, (Rung(((Step(4, 3.0, (Taken(SAMPLE, 260, (0.1,)),)), State.BUSY),)),), (16,)),
    ),
    "an answer": (Reply | NoReply, REPLY),
    "no answer": (Reply | NoReply, NoReply("timeout: late", SENT)),
    "offline": (
        OfflineRun,
        OfflineRun(
            {"a": REPLY}, {"a": LogProbs("t", (1, 2), ({1: -0.5, 9: -3.0},))}, 1.0, 2.0, ExitReport(0, False, 1)
        ),
    ),
    "engine": (EngineInstall, EngineInstall(Path("/x/python"), ("vllm",), "vllm", {"vllm": "0.18"})),
    "pair": (tuple[str, tuple[int, int] | None], ("", (2, 3))),
    "nothing": (None, None),
    "tiles": (dict[str, int | bool], {"tile_px": 448, "thumbnail": True}),
    "graded": (Finding, Finding(kinds.ANSWER_COUNT, "8", "0", graded=Severity.FATAL)),
}


def exchange_of(stored: object) -> Exchange:
    assert stored == SENT.id
    return SENT


@pytest.mark.parametrize("name", VALUES)
def test_a_stored_value_is_the_same_again(name: str) -> None:
    kind, value = VALUES[name]
    stored = json.loads(json.dumps(as_json(value)))
    made = value_of(kind, stored, exchange_of)
    assert made == value
    assert json.loads(json.dumps(as_json(made))) == stored  # also fields that do not count in comparisons


@dataclass(frozen=True)
class Small:
    number: int
    name: str = ""


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (int, "x"), (int, True), (int, 1.0), (int, None), (str, 3), (bool, 1), (float, "nan"), (float, True),
        (list[int], {"a": 1}), (tuple[int, int], [1]), (dict[str, int], [1]), (Small, {"name": "n"}), (Small, []),
        (Small, {"number": []}), (State, "up"), (int | None, "x"), (Reply | NoReply, {}), (None, 0),
        (Finding, {"check": "no.such", "severity": "fatal"}), (Finding, "x"), (Exchange, None), (array, ["x"]),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_of_another_type_is_refused(kind: Any, stored: object) -> None:
    def none(named: object) -> Exchange:
        raise ValueError(f"no exchange {named!r}")

    with pytest.raises(ValueError, match=r"."):
        value_of(kind, stored, none)


def test_a_field_of_a_newer_version_is_not_read() -> None:
    assert value_of(Small, {"number": 1, "later": 2}, exchange_of) == Small(1)


def test_an_exchange_that_was_not_recorded_is_none_where_a_value_may_be_without() -> None:
    def not_recorded(named: object) -> Exchange:
        raise NotStored(f"the request {named!r}")

    assert value_of(NoReply, {"reason": "late", "exchange": "r00009"}, not_recorded) == NoReply("late")
    with pytest.raises(NotStored):
        value_of(Burst, {"exchanges": {"0": "r00009"}, "hang": None}, not_recorded)
