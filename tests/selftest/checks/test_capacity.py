"""The ladder of load: what is refused, what is not known, and what is recorded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vlm_acceptance.checks import capacity
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.load_steps import Climb, Rung, State, Step, Taken
from vlm_acceptance.config.ladder_sections import RecordedCapacity, StepBudgets
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply

BUDGETS = StepBudgets.model_validate({"e2e_s": {"p90": 5}})
ANSWERED = Taken(Sample(0.5, 0.1, 1.5, 10), 100)
RECORDED = RecordedCapacity(concurrency=4, e2e_s=1.5, e2e_high_s=1.6)


def timed(e2e_s: float) -> Taken:
    return replace(ANSWERED, sample=Sample(0.5, 0.1, e2e_s, 10))


def rung(concurrency: int, state: State = State.HELD, taken: Taken = ANSWERED, *more: Taken) -> Rung:
    return Rung(((Step(concurrency, 2.0, (*[taken] * 20, *more)), state),))


def climb(*rungs: Rung) -> Climb:
    return Climb("text-100", 100, rungs)


def test_a_right_ladder_has_no_findings() -> None:
    right = climb(rung(1), rung(4))
    assert capacity.failed(right) == []
    assert capacity.none_held(right, BUDGETS) == []
    assert capacity.shrunk(right, RECORDED, BUDGETS) == []
    assert capacity.slower(right, RECORDED, 0.1) == []


def test_a_failure_that_is_no_refusal_is_found_and_mere_overload_is_not() -> None:
    broken, refused = Taken(None, failure="HTTP 500"), Taken(None, failure="HTTP 503", is_overload=True)
    (found,) = capacity.failed(climb(rung(1), rung(16, State.LOST, ANSWERED, broken, refused)))
    assert (found.kind, found.where) == (kinds.CAPACITY_NO_ANSWER, "text-100: 16 at once")
    assert found.observed == "1 of 22 got no answer: 1 x HTTP 500, 1 x HTTP 503"
    assert capacity.failed(climb(rung(1), rung(16, State.LOST, refused))) == []


def test_a_first_request_without_an_answer_is_found() -> None:
    (found,) = capacity.failed(Climb("text-100", broken=NoReply("HTTP 500: 'x'")))
    assert found.observed == "the first request got no answer: HTTP 500: 'x'"


def test_answers_shorter_than_with_low_load_are_found() -> None:
    short = replace(ANSWERED, sample=Sample(0.5, 0.1, 1.5, 5))
    (found,) = capacity.failed(climb(rung(1), rung(4, State.HELD, ANSWERED, short)))
    assert (found.kind, found.expected) == (kinds.CAPACITY_CUT, "answers of 10 tokens, as with 1 at once")
    # without ignore_eos an answer is as long as the model likes
    assert capacity.failed(climb(rung(1, State.HELD, ANSWERED, short), rung(4, State.HELD, short))) == []


def test_prompts_that_are_cut_are_found() -> None:
    (found,) = capacity.failed(climb(rung(1), rung(4, State.HELD, ANSWERED, replace(ANSWERED, prompt_tokens=60))))
    assert (found.kind, found.observed) == (kinds.CAPACITY_PROMPT, "1 of 21 prompts have fewer tokens, the first 60")
    assert capacity.failed(climb(rung(1, State.HELD, ANSWERED, replace(ANSWERED, prompt_tokens=97)))) == []


def test_budgets_that_hold_nowhere_are_found() -> None:
    (found,) = capacity.none_held(climb(rung(1, State.LOST, timed(9))), BUDGETS)
    assert found.expected == "the budgets hold with 1 at once"
    assert found.observed.startswith("lost twice at 1: end to end: 20 of 20 above the p90 budget of 5 s")


def test_a_capacity_below_the_record_is_found_and_one_above_is_not() -> None:
    (found,) = capacity.shrunk(climb(rung(1), rung(4, State.LOST, timed(9))), RECORDED, BUDGETS)
    assert (found.kind, found.expected) == (kinds.CAPACITY_SHRUNK, "capacity 4, as recorded")
    assert capacity.shrunk(climb(rung(1), rung(4), rung(16)), RECORDED, BUDGETS) == []


def test_how_a_climb_ended_says_where_its_capacity_is_not_known() -> None:
    assert capacity.ended(climb(rung(1), rung(4)), BUDGETS) == "capacity 4; 4 is the most that was tried"
    busy = climb(rung(1), rung(4, State.BUSY))
    assert capacity.ended(busy, BUDGETS) == "capacity not known; the machine was busy at 4"


def test_a_busy_machine_is_excused_below_the_record_only() -> None:
    early, later = climb(rung(1), rung(4, State.BUSY)), climb(rung(4), rung(16, State.BUSY))
    assert capacity.shrunk(early, RECORDED, BUDGETS) == []
    assert capacity.busy(early, 4).endswith("text-100, 4 at once")
    assert capacity.busy(later, 4) == ""
    assert capacity.none_held(climb(rung(1, State.BUSY)), BUDGETS) == []


@pytest.mark.parametrize(("e2e_s", "is_found"), [(1.7, False), (1.76, False), (1.77, True), (math.nan, True)])
def test_slower_is_what_lies_above_the_recorded_interval_and_the_share(e2e_s: float, is_found: bool) -> None:
    found = capacity.slower(climb(rung(4, State.HELD, timed(e2e_s))), RECORDED, 0.1)
    assert [one.kind for one in found] == [kinds.CAPACITY_SLOWER] * is_found


def test_too_few_answers_are_no_comparison() -> None:
    few = climb(Rung(((Step(4, 2.0, (timed(9),) * 10), State.HELD),)))
    assert capacity.slower(few, RECORDED, 0.1) == []
    assert "10 answers, at least 11 are needed" in capacity.too_few(few, RECORDED)
    assert capacity.too_few(climb(rung(4)), RECORDED) == ""


def test_what_is_recorded_accepts_the_same_deployment() -> None:
    made = climb(rung(1), rung(4))
    recorded = RecordedCapacity.model_validate(capacity.recorded_of(made))
    assert recorded == RecordedCapacity(concurrency=4, e2e_s=1.5, e2e_high_s=1.5)
    assert capacity.slower(made, recorded, 0.0) == []
    assert capacity.recorded_of(climb(rung(1, State.LOST))) is None
    assert capacity.recorded_of(climb(rung(1, State.HELD, timed(math.nan)))) is None
    assert capacity.recorded_of(climb(rung(4), rung(16, State.BUSY))) is None
