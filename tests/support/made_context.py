"""Contexts, results and findings of runs that never took place, for the selftests of `run`."""

from __future__ import annotations

from pathlib import Path

from vlm_acceptance.checks.latency import LatencyRow
from vlm_acceptance.config.options import load
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding, Outcome, Verdict
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.verdict import Ruling, TestResult
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.workloads.capability import key_of

REAL = "internvl2-2b-ascend"
ACCEPTED = Ruling(Verdict.ACCEPTED, 0, "all 1 required tests passed")
ROW = LatencyRow(3, 0.1, None, 2.0, None, 9.0, 12)


def context_of(tmp_path: Path, profile: str = "control-cpu", **values: object) -> RunContext:
    given = {"vlm_reports": str(tmp_path), **values}
    return RunContext(load(given, {}, profile, "a test"), lambda _: None, lambda _: None)


def attached(tmp_path: Path, profile: str = "control-cpu", **values: object) -> RunContext:
    return context_of(tmp_path, profile, vlm_base_url="http://127.0.0.1:9", **values)


def result(area: str, outcome: Outcome, *categories: str) -> TestResult:
    name = f"tests/acceptance/test_{area}.py::test_x[{len(categories)}{outcome.value}]"
    return TestResult(name, area, outcome, 0.5, f"{outcome.value}\nmore", "It MUST.", categories=categories)


def found(kind: kinds.FindingClass, graded: Severity | None = None) -> Finding:
    return Finding(kind, "this", "that", graded=graded)


def counted(context: RunContext, **right: int) -> RunContext:
    """The context after a run in which every question was counted: 8 of 8, or `right` by category."""
    for category in context.inputs.categories:
        for question in (*category.questions, category.translated):
            context.record.count(key_of(category, question), right.get(category.id, 8), 8)
        context.record.latency[category.id] = ROW
    context.record.count("multi_picture", right.get("multi_picture", 4), 4)
    context.record.results = [result("capability", Outcome.PASSED, "ocr"), result("latency", Outcome.PASSED)]
    return context
