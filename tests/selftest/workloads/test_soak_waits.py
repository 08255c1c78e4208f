"""A soak without what waiting for a processor explains: what is left is judged, and what is not is excused."""

from __future__ import annotations

from array import array

import pytest

from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.config.profile_sections import Limits, LoadBudgets
from vlm_acceptance.core.waiting import NS, ProcessorReading
from vlm_acceptance.workloads.soak import Served, Soak, beyond, drifts

SECONDS = 60


def soak(times: list[float], shares: list[float]) -> Soak:
    """One request a second that takes so long; the engine waits for this share of each second."""
    whole = [*shares, shares[-1]]
    waited = [round(sum(whole[:n]) * NS) for n in range(SECONDS + 2)]
    readings = [ProcessorReading((100 + n) * NS, 0, ns, 0, 2 * ns) for n, ns in enumerate(waited)]
    served = [Served(float(n), Sample(t / 2, t / 100, t, 51), None) for n, t in enumerate(times)]
    itl = array("d", [t / 100 for t in times for _ in range(50)])
    return Soak(served, itl, seconds=float(SECONDS), processors=readings, began_ns=100 * NS)


IDLE, BUSY = [0.0] * SECONDS, [0.8] * SECONDS
LIMITS = LoadBudgets(e2e_s=Limits(p50=0.4), itl_s=Limits(p99=0.004), output_tokens_per_s=60)


def found(judged: Soak) -> list[str]:
    return [one.check for one in beyond(judged, LIMITS, Budget())]


def test_a_slow_soak_on_an_idle_machine_stays_slow() -> None:
    slow = soak([0.9] * SECONDS, IDLE)
    assert found(slow) == found(slow.without_waits()) == ["load.e2e", "load.itl", "load.output_tokens_per_s"]


def test_a_soak_that_waited_is_within_the_budgets_without_it() -> None:
    starved = soak([0.9] * SECONDS, BUSY)
    rest = starved.without_waits()
    assert found(starved) == ["load.e2e", "load.itl", "load.output_tokens_per_s"]
    assert found(rest) == []
    assert rest.samples[0].e2e_s == pytest.approx(0.1)
    assert rest.seconds == pytest.approx(12, rel=0.05)


def test_a_soak_whose_waits_were_not_read_is_judged_as_it_was() -> None:
    unread = Soak(soak([0.9] * SECONDS, IDLE).served, seconds=60.0)
    assert unread.without_waits().samples == unread.samples
    assert unread.without_waits().seconds == 60


def test_a_machine_that_becomes_busy_is_no_drift_of_the_deployment() -> None:
    late = [0.6 * n / SECONDS for n in range(SECONDS)]
    times = [0.3 + share for share in late]
    assert {one.where for one in drifts(soak(times, late), 0.5)} == {"ttft", "tpot", "e2e"}
    assert drifts(soak(times, late).without_waits(), 0.5, optional=("ttft", "tpot", "e2e")) == []
    assert {one.where for one in drifts(soak(times, IDLE).without_waits(), 0.5)} == {"ttft", "tpot", "e2e"}
