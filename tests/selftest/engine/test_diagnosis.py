"""A probe that breaks, or has no answer in time, is a warning that says why."""

from __future__ import annotations

import threading
import time

import pytest

from vlm_acceptance.core.errors import DeviceProblem, NoAnswer, UsageProblem
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING, Line, Probe, examine, judged


def raising(problem: Exception) -> Probe:
    def find() -> list[Line]:
        raise problem

    return Probe("disk", find)


def test_lines_of_a_probe_are_kept() -> None:
    lines = [Line("disk", OK, "enough"), Line("disk", WARNING, "slow: wait")]
    assert examine(Probe("disk", lambda: lines)) == lines


@pytest.mark.parametrize("problem", [DeviceProblem("no card: mount it"), UsageProblem("no such file: name another")])
def test_a_problem_is_a_failure(problem: Exception) -> None:
    assert examine(raising(problem)) == [Line("disk", FAILURE, str(problem))]


def test_a_tool_without_an_answer_is_a_warning() -> None:
    assert examine(raising(NoAnswer("late: ask again"))) == [Line("disk", WARNING, "late: ask again")]


def test_a_probe_that_breaks_is_a_warning_that_says_why() -> None:
    (line,) = examine(raising(ZeroDivisionError("by nought")))
    assert (line.check, line.status) == ("disk", WARNING)
    assert "ZeroDivisionError: by nought" in line.message


def test_a_probe_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    began = time.monotonic()
    (line,) = examine(Probe("disk", lambda: [Line("disk", OK, str(release.wait(60)))]), 0.1)
    release.set()
    assert time.monotonic() - began < 30
    assert (line.status, "within 0.1 s" in line.message) == (WARNING, True)


def test_without_a_problem_the_line_is_fine() -> None:
    assert judged("disk", [], "enough") == [Line("disk", OK, "enough")]
    assert judged("disk", ["full: free some"], "enough", WARNING) == [Line("disk", WARNING, "full: free some")]
