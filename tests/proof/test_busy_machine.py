"""Slow engines and a machine that is busy: whose fault a late answer is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from acceptance_runs import Run
from check_ids import FAST, node

LOOP = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile os.getppid() == int(sys.argv[2]): pass"
BUDGET_S = 0.3


@contextlib.contextmanager
def busy_loops(count: int, cpu: int) -> Iterator[None]:
    """Loops that never rest, all on this processor."""
    argv = [sys.executable, "-c", LOOP, str(cpu), str(os.getpid())]
    # Linux shares a processor between sessions first: loops of one session would take no more than the engine does
    loops = [subprocess.Popen(argv, start_new_session=True) for _ in range(count)]
    try:
        yield
        assert all(loop.poll() is None for loop in loops)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.fixture
def run_beside(accept, stand_in_engine) -> Callable[..., Run]:
    """`run_beside(loops, runs=..., sleeps=...)`: an engine that shares its only processor with so many busy loops."""
    cpu = max(os.sched_getaffinity(0))
    budget = f"--vlm-set=latency.default={{ttft_s: {BUDGET_S}}}"
    args = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", budget, node(FAST))

    def run(loops: int, **seconds: float) -> Run:
        env: dict[str, Any] = {f"VLM_STANDIN_{name.upper()}": str(value) for name, value in seconds.items()}
        env |= {"VLM_STANDIN": "computes", "VLM_STANDIN_CPU": str(cpu)}
        with busy_loops(loops, cpu):
            made: Run = accept(*args, f"--vlm-engine={stand_in_engine}", env=env)
        return made

    return run


@pytest.mark.fault("slow-on-idle-machine")
def test_slow_engine_on_an_idle_machine_is_rejected(run_beside, prove):
    run = run_beside(0, sleeps=2 * BUDGET_S)
    prove("slow-on-idle-machine", run)
    assert run.code == 1, run.out


@pytest.mark.fault("slow-on-busy-machine")
def test_slow_engine_is_rejected_on_a_busy_machine_too_when_its_excess_is_greater_than_the_wait(run_beside, prove):
    run = run_beside(2, runs=2 * BUDGET_S)
    prove("slow-on-busy-machine", run)
    assert run.code == 1, run.out
    assert "without what waiting for a processor explains" in run.messages


@pytest.mark.fault("machine-busy")
def test_starved_right_engine_is_an_error_that_names_the_wait(run_beside, prove):
    run = run_beside(8, runs=BUDGET_S / 3)
    prove("machine-busy", run)
    assert run.code == 11, run.out
    assert "machine busy: " in run.messages
    assert "waiting for a processor (own threads" in run.messages
    assert "the machine while latency was measured: " in run.out
