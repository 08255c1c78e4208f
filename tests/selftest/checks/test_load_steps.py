"""Steps of a rising load: budgets held or lost, by counts that chance does not explain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vlm_acceptance.checks.capacity import end_of
from vlm_acceptance.checks.hang import Hang
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.load_steps import LATE, Climb, Rung, State, Step, Taken, failure_of, losses, state_of
from vlm_acceptance.config.ladder_sections import StepBudgets
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Request
from vlm_acceptance.core.waiting import Waited

BUDGETS = StepBudgets.model_validate({"ttft_s": {"p90": 1.0}, "e2e_s": {"p50": 2.0, "p99": 3.0}})
SAMPLE = Sample(0.5, 0.1, 1.5, 10)
ANSWERED = Taken(SAMPLE, 100)
FAILED = Taken(None, failure="HTTP 500")


def step(*taken: Taken, concurrency: int = 4) -> Step:
    return Step(concurrency, 2.0, taken)


def late(ttft_s: float) -> Taken:
    return replace(ANSWERED, sample=replace(SAMPLE, ttft_s=ttft_s))


def rung(*states: State, concurrency: int = 4, taken: Taken = ANSWERED) -> Rung:
    made = step(*[taken] * 20, concurrency=concurrency)
    return Rung(tuple((made, state) for state in states))


def test_answers_within_the_budgets_hold() -> None:
    made = step(*[ANSWERED] * 20)
    assert losses(made, BUDGETS) == []
    assert state_of(made, BUDGETS) is State.HELD


def test_a_few_late_answers_are_chance_and_many_are_not() -> None:
    few, many = step(*[ANSWERED] * 16, *[late(5)] * 4), step(*[ANSWERED] * 10, *[late(5)] * 10)
    assert losses(few, BUDGETS) == []
    assert losses(many, BUDGETS) == ["time to first token: 10 of 20 above the p90 budget of 1 s"]
    assert state_of(many, BUDGETS) is State.LOST


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_time_that_is_no_figure_is_above_every_budget(value: float) -> None:
    assert losses(step(*[late(value)] * 20), BUDGETS) != []


def test_a_budget_without_data_is_lost() -> None:
    unstreamed = replace(ANSWERED, sample=replace(SAMPLE, ttft_s=None))
    assert losses(step(*[unstreamed] * 20), BUDGETS) == ["time to first token: no data"]
    assert losses(step(ANSWERED), StepBudgets.model_validate({"itl_s": {"p50": 1}})) == [
        "pause between tokens: no data"
    ]


def test_long_pauses_lose_a_step() -> None:
    budgets = StepBudgets.model_validate({"itl_s": {"p50": 0.1}})
    paused = replace(ANSWERED, pauses=(0.5, 0.6))
    assert losses(step(*[paused] * 20), budgets) == ["pause between tokens: p50 0.5 s, budget 0.1 s"]


def test_a_failure_loses_a_step_unless_the_budget_allows_it() -> None:
    made = step(*[ANSWERED] * 19, FAILED)
    assert losses(made, BUDGETS) == ["1 of 20 without an answer (1 x HTTP 500)"]
    assert losses(made, BUDGETS.model_copy(update={"errors": 0.05})) == []


def test_the_first_requests_of_a_step_are_not_measured_but_their_failures_count() -> None:
    made = step(*[replace(late(9), is_measured=False)] * 20, *[ANSWERED] * 20)
    assert losses(made, BUDGETS) == []
    assert losses(step(replace(FAILED, is_measured=False), *[ANSWERED] * 20), BUDGETS) != []


def test_a_step_that_waiting_explains_is_busy() -> None:
    waited = {name: Waited(5.0, 4.8, None) for name in ("ttft_s", "tpot_s", "e2e_s")}
    assert state_of(step(*[replace(late(5), waited=waited)] * 20), BUDGETS) is State.BUSY
    starved = Taken(None, failure=LATE, is_overload=True, is_starved=True)
    assert state_of(step(*[ANSWERED] * 19, starved), BUDGETS) is State.BUSY


def test_a_hang_loses_a_step_at_once() -> None:
    hung = replace(step(ANSWERED), hang=Hang(60, 4, {}, 0))
    assert state_of(hung, BUDGETS) is State.LOST


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ((State.HELD,), State.HELD),
        ((State.LOST, State.HELD), State.HELD),
        ((State.LOST, State.LOST), State.LOST),
        ((State.LOST, State.BUSY), State.BUSY),
        ((State.BUSY, State.HELD), State.HELD),
    ],
)
def test_a_step_is_lost_only_twice(states: tuple[State, ...], state: State) -> None:
    assert rung(*states).state is state


def test_capacity_is_the_greatest_that_held() -> None:
    held, lost = rung(State.HELD, concurrency=4), rung(State.LOST, State.LOST, concurrency=16, taken=late(5))
    climb = Climb("text-512", 512, (held, lost), (64,))
    assert climb.capacity == 4
    assert end_of(climb, BUDGETS) == (
        "lost twice at 16: time to first token: 20 of 20 above the p90 budget of 1 s; not run: 64"
    )
    assert end_of(replace(climb, rungs=(held,)), BUDGETS) == "4 is the most that was tried"


def test_capacity_is_not_known_on_a_busy_machine_or_without_room() -> None:
    busy = Climb("text-512", 512, (rung(State.HELD), rung(State.BUSY, State.BUSY, concurrency=16)), (64,))
    assert (busy.capacity, busy.held) == (None, 4)
    assert end_of(busy, BUDGETS) == "the machine was busy at 16; not run: 64"
    none = Climb("one_tile-64", why_not="its picture alone has 258 tokens")
    assert none.capacity is None
    assert end_of(none, BUDGETS) == "not run: its picture alone has 258 tokens"


def exchange(status: int | None, error: ErrorDetail | None = None) -> Exchange:
    return Exchange("1", Request("POST", "/"), "", 0, 1, status, error=error)


@pytest.mark.parametrize(
    ("seen", "cause", "is_overload"),
    [
        (exchange(500), "HTTP 500", False),
        (exchange(503), "HTTP 503", True),
        (exchange(429), "HTTP 429", True),
        (exchange(None, ErrorDetail("reset", "secret text")), "connection: reset", False),
        (exchange(None, ErrorDetail("timeout", "30 s")), LATE, True),
        (exchange(200), "HTTP 200 without a readable, finished answer", False),
        (None, "no answer", False),
    ],
)
def test_a_failure_is_named_without_the_servers_own_text(seen: Exchange | None, cause: str, is_overload: bool) -> None:
    assert failure_of(NoReply("secret text", seen)) == (cause, is_overload)


def test_the_row_of_a_step_has_percentiles_rates_and_failures() -> None:
    row = step(*[ANSWERED] * 10, FAILED).row
    assert row["e2e_s"] == {"p50": 1.5, "p90": 1.5, "p99": 1.5, "n": 10}
    assert (row["requests"], row["requests_per_s"], row["output_tokens_per_s"]) == (11, 5.0, 50.0)
    assert (row["failures"], row["itl_s"]) == ({"HTTP 500": 1}, None)
