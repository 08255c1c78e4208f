"""Leaks and drifts are found, and there are no false alarms."""

from __future__ import annotations

import random

import pytest

from vlm_acceptance.checks.trends import can_drift, drift, drift_of, growth, leak
from vlm_acceptance.core.errors import EnvironmentProblem

REQUESTS = [float(n * 7) for n in range(120)]


def sampled(mb_per_request: float, noise_mb: float = 5.0, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [2000 + mb_per_request * n + draw.gauss(0, noise_mb) for n in REQUESTS]


@pytest.mark.parametrize("seed", range(20))
def test_a_megabyte_a_request_is_a_leak_and_a_flat_engine_has_none(seed: int) -> None:
    found = leak(REQUESTS, sampled(1.0, seed=seed), "engine", 64)
    assert [one.check for one in found] == ["trend.leak"]
    assert "KB a request" in found[0].observed
    assert leak(REQUESTS, sampled(0.0, seed=seed), "engine", 64) == []


def test_memory_that_fills_up_and_levels_off_is_not_a_leak() -> None:
    filling = [2000 + min(400.0, 1.0 * n) for n in REQUESTS]
    assert leak(REQUESTS, filling, "engine", 64) == []


def test_growth_within_the_budget_is_not_a_leak() -> None:
    assert leak(REQUESTS, sampled(0.05, 0.1), "engine", 64) == []
    assert leak(REQUESTS, sampled(0.05, 0.1), "engine", 40) != []


def test_growth_within_the_noise_is_not_a_leak() -> None:
    assert leak(REQUESTS, sampled(0.1, 200.0), "engine", 64) == []


def test_memory_with_too_few_samples_is_not_judged() -> None:
    for requests in ([1.0] * 40, REQUESTS[:5], []):
        with pytest.raises(EnvironmentProblem, match="too few to judge the memory of engine"):
            leak(requests, [5.0] * len(requests), "engine", 64)
    assert growth(REQUESTS[:5], [1.0] * 5) is None


def times(shape: str, seed: int = 2) -> list[tuple[float, float]]:
    draw = random.Random(seed)
    factor = {
        "flat": lambda at: 1.0,
        "grows": lambda at: 1 + 10 * at / 60,
        "late noise": lambda at: 8.0 if at > 42 else 1.0,
        "a little": lambda at: 1 + 0.3 * at / 60,
    }[shape]
    return [(at, 0.02 * factor(at) * draw.lognormvariate(0, 0.4)) for at in (n / 10 for n in range(600))]


@pytest.mark.parametrize("seed", range(20))
def test_times_that_grow_drift_and_steady_ones_do_not(seed: int) -> None:
    assert [one.check for one in drift(times("grows", seed), "tpot", 0.5)] == ["trend.drift"]
    assert drift(times("flat", seed), "tpot", 0.5) == []
    assert drift(times("a little", seed), "tpot", 0.5) == []


def test_a_late_step_is_not_a_drift() -> None:
    assert drift(times("late noise"), "tpot", 0.5) == []


def test_too_few_times_are_not_judged() -> None:
    assert drift_of(times("grows")[:10]) is None
    assert can_drift(times("flat"))
    # 24 are enough for the whole and too few for its first two thirds
    for few in (times("grows")[:10], times("grows")[:24], []):
        assert not can_drift(few)
        with pytest.raises(EnvironmentProblem, match="too few to judge whether tpot grows"):
            drift(few, "tpot", 0.5)
