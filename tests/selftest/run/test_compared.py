"""What the test of log probabilities leaves for the verdict."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.acceptance.test_logprobs import judged
from tests.support.made_context import attached

from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.summary import numbers


class Collector:
    """Keeps the findings of a test."""

    test = "test_x"

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(self, findings: list[Finding]) -> None:
        self.found += findings

    def note(self, **_: object) -> None:
        """Nothing."""


def context_of(tmp_path: Path) -> RunContext:
    context = attached(tmp_path)
    context.__dict__["store"] = SimpleNamespace(observation=lambda *_: None)
    return context


def test_answers_without_log_probabilities_were_not_compared(tmp_path: Path) -> None:
    context, findings = context_of(tmp_path), Collector()
    rows = context.inputs.stored_logprobs[:3]
    judged(findings, context, rows, {row.prompt.id: NoReply("HTTP 500") for row in rows})
    assert findings.found
    assert context.record.compared == []
    assert numbers(context)[0].startswith("not compared with the log probabilities in control.jsonl")


def test_only_the_answers_with_log_probabilities_were_compared(tmp_path: Path) -> None:
    context, findings = context_of(tmp_path), Collector()
    rows = context.inputs.stored_logprobs[:3]
    seen = {row.prompt.id: row.logprobs for row in rows[:2]} | {rows[2].prompt.id: NoReply("HTTP 500")}
    judged(findings, context, rows, seen)
    (one,) = context.record.compared
    assert (one.prompts, one.is_right) == (2, False)
