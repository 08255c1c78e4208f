"""Facts of a run for the reports. Tests and engines add to it; summary, outputs and calibration read it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from vlm_acceptance.checks.latency import LatencyRow
from vlm_acceptance.core.engine_figures import EngineFigures
from vlm_acceptance.core.logprobs import StoredLogProbs
from vlm_acceptance.core.reference import Change
from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.core.waiting import Waited
from vlm_acceptance.run.baseline_limits import Compared
from vlm_acceptance.run.gallery import Gallery


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a test is not part of this run: the feature that it needs, and why the run does not have it."""

    feature: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceRelease:
    """Whether device memory came back after an engine ended (None: not observed), and the figures in words."""

    returned: bool | None
    seen: str


@dataclass
class Timeline:
    """When what happened, on the monotonic clock in nanoseconds: stages of the run, and tests with their outcomes."""

    began_ns: int = field(default_factory=time.monotonic_ns)
    began_utc: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    spans: list[Span] = field(default_factory=list)

    def add(self, kind: str, name: str, began_ns: int, area: str = "", outcome: str = "") -> None:
        """Something that began at `began_ns` and ended now."""
        self.spans.append(Span(kind, name, area, outcome, began_ns, time.monotonic_ns()))


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a run; `kind` is `stage` or `test`."""

    kind: str
    name: str
    area: str
    outcome: str
    began_ns: int
    ended_ns: int


@dataclass
class RunRecord:
    """One run, as far as it got. Node ids are keys of `not_applicable`, categories of `latency`.

    `unwritable` and `unreachable` are why reports cannot be written or the endpoint cannot be reached; `known_issues`
    holds the tests in which an issue occurred, `waits` what was waited for a processor during requests that were timed,
    `right` the fewest right answers to a question that any test counted, and of how many. `by_route` has the right
    answers of each test that asked a question by one route, without load; `agreed` the offline answers to a question
    that agreed with the served ones; `new_pictures` how many of the eight new ones were read; `too_many` counts
    answers of status 429. `latency_figures` are all answers of a category, with its budget. `capacity` has the ladder
    of load: a row of each kind of prompt. `repeats` are the distances of a recording's repeats, `compared` what tests
    compared with a baseline. `stage_seconds` are those of each stage that came to its end. `not_stored` are tests whose
    exchanges a run that is judged again does not hold.
    """

    required: list[str] = field(default_factory=list)
    not_applicable: dict[str, NotApplicable] = field(default_factory=dict)
    narrowed: str = ""
    unreachable: str = ""
    unwritable: str = ""
    results: list[TestResult] = field(default_factory=list)
    orphans: Sequence[str] = ()
    stage_seconds: dict[str, float] = field(default_factory=dict)
    # engine -> processes that outlived it by some seconds
    late_children: dict[str, Sequence[str]] = field(default_factory=dict)
    offline_release: DeviceRelease | None = None
    server_release: DeviceRelease | None = None
    offline_figures: EngineFigures | None = None
    latency: dict[str, LatencyRow] = field(default_factory=dict)
    latency_figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    capacity: list[dict[str, Any]] = field(default_factory=list)
    waits: list[Waited] = field(default_factory=list)
    right: dict[str, tuple[int, int]] = field(default_factory=dict)
    by_route: dict[str, dict[str, int]] = field(default_factory=dict)
    agreed: dict[str, int] = field(default_factory=dict)
    new_pictures: int | None = None
    gallery: Gallery = field(default_factory=Gallery)
    logprobs: list[StoredLogProbs] = field(default_factory=list)
    repeats: list[Change] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    known_issues: dict[str, list[str]] = field(default_factory=dict)
    # what requests get for parameters that they do not name, where it is declared
    defaults: dict[str, float] = field(default_factory=dict)
    serve_benchmark: str = ""
    too_many: int = 0
    timeline: Timeline = field(default_factory=Timeline)
    not_stored: set[str] = field(default_factory=set)
    accuracy: list[str] = field(default_factory=list)

    def keep(self, result: TestResult) -> None:
        """Add the result of a test; it replaces an earlier one of the same test."""
        self.results[:] = [one for one in self.results if one.id != result.id]
        self.results.append(result)

    def count(self, question: str, right: int, total: int, route_test: str = "") -> None:
        """Keep the count of right answers to a question if it is the lowest so far, and that of a test of one route."""
        if route_test:
            self.by_route.setdefault(question, {})[route_test] = right
        self.right[question] = min(self.right.get(question, (right, total)), (right, total))

    @property
    def counted(self) -> dict[str, int]:
        """The fewest right answers by question."""
        return {question: right for question, (right, _) in self.right.items()}
