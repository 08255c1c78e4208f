"""The ladder of load: a deployment that holds less than was recorded, or that is too slow even for one request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from acceptance_runs import run_suite
from check_ids import LOW_LOAD, RISING, SHRANK, node
from standins.fault_proxy import FaultProxy

LADDER = ("-m", "slow", "--vlm-profile=control-cpu", "--vlm-set=ladder.lengths=[256]", "--vlm-set=ladder.step_s=1")
TESTS = tuple(map(node, (RISING, LOW_LOAD, SHRANK)))
# of the time that the slowest of the recorded run took: two of these engines share the machine with others
ROOM = 1.5


@pytest.fixture(scope="module")
def recorded(control, tmp_path_factory) -> tuple[dict[str, Any], float]:
    """What a run of the right deployment records, and the time of its slowest answer at this load."""
    with FaultProxy(control.base_url) as proxy:
        run = run_suite(tmp_path_factory.mktemp("recorded"), *LADDER, f"--vlm-base-url={proxy.url}", *TESTS)
    assert run.refused_by == set(), run.out
    (row,) = run.summary["capacity"]
    assert row["capacity"] == 16, run.out
    return row["recorded"], row["steps"][-1]["e2e_s"]["p99"]


def test_recorded_deployment_is_not_refused(accept, control, recorded):
    stored, slowest_s = recorded
    options = baseline(stored), budget(max(1, 3 * slowest_s))
    with FaultProxy(control.base_url) as proxy:
        run = accept(*LADDER, f"--vlm-base-url={proxy.url}", *options, *TESTS)
    assert run.refused_by == set(), run.out


def baseline(stored: dict[str, Any]) -> str:
    return f"--vlm-set=ladder.baseline={json.dumps({'text-256': stored})}"


def budget(seconds: float) -> str:
    return f"--vlm-set=ladder.budgets.e2e_s.p90={seconds:g}"


@pytest.mark.fault("one-at-a-time")
def test_answers_one_at_a_time_shrink_the_capacity(accept, control, recorded, prove):
    stored, slowest_s = recorded
    bound_s = max(1, ROOM * slowest_s)
    with FaultProxy(control.base_url, "one-at-a-time", magnitude=2 * bound_s / 16) as proxy:
        run = accept(*LADDER, f"--vlm-base-url={proxy.url}", baseline(stored), budget(bound_s), *TESTS)
    prove("one-at-a-time", run)
    assert "expected capacity 16, as recorded" in run.messages


@pytest.mark.fault("slower-than-recorded")
def test_slower_deployment_is_refused_beside_its_record(accept, control, recorded, prove):
    stored, slowest_s = recorded
    with FaultProxy(control.base_url, "slower-than-recorded", magnitude=max(0.5, ROOM * slowest_s)) as proxy:
        run = accept(*LADDER, f"--vlm-base-url={proxy.url}", baseline(stored), *TESTS)
    prove("slower-than-recorded", run)
    assert "expected median end to end within" in run.messages


@pytest.mark.fault("too-slow-alone")
def test_deployment_that_is_too_slow_alone_is_refused(accept, control, prove):
    with FaultProxy(control.base_url, "too-slow-alone") as proxy:
        run = accept(*LADDER, f"--vlm-base-url={proxy.url}", budget(1), *TESTS)
    prove("too-slow-alone", run)
    assert "expected the budgets hold with 1 at once" in run.messages
