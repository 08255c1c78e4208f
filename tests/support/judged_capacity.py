"""Figures of the ladder of load, and what judges them: rows for the walk of bad values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.support.judged_values import NOT_FINITE
from tests.support.judged_wire import Row
from vlm_acceptance.checks import capacity, preemption
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.load_steps import Climb, Rung, State, Step, Taken, losses
from vlm_acceptance.config.ladder_sections import RecordedCapacity, StepBudgets
from vlm_acceptance.config.profile_sections import Limits

ANSWERS = 40
RECORDED = RecordedCapacity(concurrency=1, e2e_s=1.0, e2e_high_s=1.2)


def _step(ttft_s: float = 0.5, e2e_s: float = 1.0, pause_s: float = 0.1) -> Step:
    """A step in which all answers have these times."""
    return Step(1, 9.0, (Taken(Sample(ttft_s, 0.05, e2e_s, 9), 5, (pause_s,) * 9),) * ANSWERS)


def _climb(e2e_s: float) -> Climb:
    return Climb("text-5", 5, (Rung(((_step(e2e_s=e2e_s), State.HELD),)),))


def rows() -> Iterator[Row]:
    """All figures of steps and of their record."""
    limits = Limits(p50=0.7)
    judges: dict[str, tuple[Callable[[float], object], float]] = {
        "losses ttft_s": (lambda s: losses(_step(ttft_s=s), StepBudgets(ttft_s=limits)), 0.5),
        "losses itl_s": (lambda s: losses(_step(pause_s=s), StepBudgets(itl_s=limits)), 0.5),
        "slower": (lambda s: capacity.slower(_climb(s), RECORDED, 0.1), 1.0),
        "recorded_of": (lambda s: capacity.recorded_of(_climb(s)) is None, 1.0),
        "preemptions": (lambda count: preemption.too_few(count, 20, 9, 1.0), 25.0),
    }
    for name, (judge, value) in judges.items():
        # an infinite growth of a counter is none
        yield Row(name, judge, value, NOT_FINITE)
