"""The verdict of a run with causes: the first one first, what to do, and never more lines than a screen has."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.core.causes import CAUSES, UNSEEN
from vlm_acceptance.report.verdict_text import lines, terminal_lines

SIGN = {
    "test": "tests/acceptance/test_capability.py::test_category[ocr-png]",
    "check": "answer.count",
    "title": "too few right answers",
    "where": "sign",
    "expected": "at least 8 of 8",
    "observed": "0 of 8 right",
    "evidence": "/srv/reports/evidence/r1",
    "repeat": "python3 -c 'ask()'",
}


def cause(name: str, tests: int = 1, failed: int | None = None, **sign: str) -> dict[str, Any]:
    found = CAUSES[name]
    return {
        "id": found.id,
        "title": found.title,
        "advice": found.advice,
        "tests": [f"tests/acceptance/test_area{number}.py::test_{name}" for number in range(tests)],
        "failed": tests if failed is None else failed,
        "findings": tests,
        "sign": {**SIGN, **sign},
    }


def summary(*causes: dict[str, Any], verdict: str = "rejected", **changes: Any) -> dict[str, Any]:
    outcomes = [("failed", sum(one["failed"] for one in causes))]
    outcomes += [("error", sum(len(one["tests"]) - one["failed"] for one in causes)), ("passed", 20)]
    return {
        "verdict": verdict,
        "exit_code": 1,
        "reason": "the reason",
        "causes": list(causes),
        "statement": "org/model as profile p deploys it",
        "control": False,
        "areas": {f"area{number}": {"passed": 2, "failed": number} for number in range(28)},
        "tests": [{"outcome": outcome} for outcome, count in outcomes for _ in range(count)],
        "versions": {},
        "device": None,
        "engine": {"command": ["vllm", "serve", "/model"]},
        "latency": {},
        "guide": [],
        "not_applicable": {},
        "notes": [],
        "files": "/srv/reports/runs/x",
        **changes,
    }


def test_the_first_line_is_the_first_cause_with_its_share() -> None:
    shown = terminal_lines(summary(cause("picture.unseen", 50), cause("protocol.usage", 7)))
    assert shown[0] == "REJECTED  The picture was not seen (50 of 57 failed tests)"
    assert shown[1] == f"  to do: {UNSEEN.advice}"
    text = "\n".join(shown)
    assert "  also: Token counts in usage are missing or wrong (7 of 57 failed tests)" in text
    assert "    expected: at least 8 of 8\n    observed: 0 of 8 right\n    evidence: /srv/reports/evidence/r1" in text
    assert "    repeat: python3 -c 'ask()'" in text
    assert "  about: org/model as profile p deploys it" in text
    assert "vllm serve /model" in text
    assert shown[-1] == "  files: /srv/reports/runs/x"


def test_the_terminal_is_bounded_and_the_file_is_whole() -> None:
    many = summary(*(cause(name, 30) for name in CAUSES), notes=[f"note {number}" for number in range(50)])
    shown, whole = terminal_lines(many), lines(many)
    assert len(shown) <= 40
    assert any(f"and {len(CAUSES) - 5} more causes" in line for line in shown)
    assert any("45 more notes" in line for line in shown)
    assert len([line for line in whole if "::test_" in line]) >= 30 * len(CAUSES)
    assert all(any(found.title in line for line in whole) for found in CAUSES.values())


def test_a_message_without_a_finding_is_shown_by_its_first_lines() -> None:
    found = cause("engine.start")
    found["sign"] = {"test": SIGN["test"], "message": "\n".join(f"line {number}" for number in range(50))}
    text = "\n".join(terminal_lines(summary(found)))
    assert "capability::test_category[ocr-png]: line 0\n    line 1\n" in text
    assert "line 8" not in text


@pytest.mark.parametrize("observed", ["x" * 5000, "line\n" * 100, "\x1b[31mred"])
def test_what_a_server_wrote_stays_in_its_line(observed: str) -> None:
    shown = terminal_lines(summary(cause("picture.unseen", observed=observed)))
    (line,) = [line for line in shown if line.startswith("    observed: ")]
    assert len(line) < 350
    assert "\n" not in line


def test_errors_are_counted_apart_and_keep_the_reason_of_the_verdict() -> None:
    errors = summary(cause("environment.port", 3, failed=0), verdict="inconclusive", exit_code=10)
    shown = terminal_lines(errors)
    assert shown[0] == "INCONCLUSIVE (environment)  The port is held by another process (3 of 3 errors)"
    assert shown[1] == "  the reason"
    both = terminal_lines(summary(cause("picture.unseen", 3, failed=2)))
    assert both[0] == "REJECTED  The picture was not seen (2 of 2 failed tests, 1 of 1 errors)"


def test_tests_that_did_not_run_are_counted() -> None:
    dead = summary(cause("engine.start"), areas={"health": {"failed": 1, "not run": 12}, "schema": {"not run": 25}})
    assert "  not run: 37 tests" in terminal_lines(dead)
    assert not any("not run" in line for line in terminal_lines(summary(cause("engine.start"))))


def test_a_run_without_causes_is_shown_as_before() -> None:
    accepted = summary(verdict="accepted", exit_code=0, causes=[])
    assert terminal_lines(accepted) == lines(accepted)
    assert lines(accepted)[0] == "ACCEPTED  org/model as profile p deploys it"
    earlier = {key: value for key, value in accepted.items() if key != "causes"}
    assert lines(earlier) == lines(accepted)
