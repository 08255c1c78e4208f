"""Limits between a floor and faults, on made-up distances whose truth is known."""

import math
import random
import time

import pytest

from vlm_acceptance.checks.reference_limits import (
    APART,
    WIDE_LOST,
    is_refused,
    limits_of,
    prompts_needed,
    seen_by,
)
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.reference import Change, PromptDistance

PROMPTS, SAMPLE, TOP = 129, 12, 20


def prompt(mean, tokens=15, lost=0.0):
    """A prompt of so many tokens with a mean |Δ| of its common top tokens."""
    possible = tokens * TOP
    listed = round(possible * (1 - lost))
    return PromptDistance(mean * listed, 4 * mean, listed, possible, mean * tokens / 10, tokens)


def change(name, means, floor=False, lost=0.0):
    return Change(name, floor, {str(number): prompt(mean, lost=lost) for number, mean in enumerate(means)})


def steady(name, mean, floor=False, seed=0, spread=0.2, lost=0.0):
    """A change that moves every prompt by about as much."""
    chance = random.Random(f"{name} {seed}")
    return change(name, [mean * chance.lognormvariate(0, spread) for _ in range(PROMPTS)], floor, lost)


def runs(scales, noise, count, seed):
    """Runs of a deployment that moves each prompt by its scale, each time a little otherwise: 12 prompts of each."""
    chance = random.Random(seed)
    for _ in range(count):
        places = chance.sample(range(len(scales)), SAMPLE)
        yield [prompt(scales[place] * chance.lognormvariate(0, noise)) for place in places]


FLOORS = [steady("bf16", 0.015, floor=True), steady("fp16", 0.002, floor=True)]


def test_the_alarm_is_the_geometric_middle_and_both_margins_are_stated():
    limits = limits_of([*FLOORS, steady("int4", 0.17), steady("noise5", 0.08)], SAMPLE)
    assert limits.refused == ("int4", "noise5")
    assert limits.not_refused == ()
    assert limits.margin_below == pytest.approx(limits.margin_above)
    assert limits.alarm == pytest.approx(limits.floor * limits.margin_below)
    assert limits.floor < limits.alarm < 0.08
    assert limits.margin_below > math.sqrt(APART)


@pytest.mark.parametrize("mean", [0.016, 0.02, 0.024])
def test_a_change_within_twice_the_floor_is_not_promised(mean):
    limits = limits_of([*FLOORS, steady("int8", mean), steady("int4", 0.17)], SAMPLE)
    assert limits.refused == ("int4",)
    [(name, far)] = limits.not_refused
    assert (name, far) == ("int8", pytest.approx(mean, rel=0.1))
    assert limits.needed == {"int8": None}


def test_without_a_change_that_is_apart_it_says_so():
    limits = limits_of([*FLOORS, steady("int8", 0.018)], SAMPLE)
    assert limits.tells_nothing
    assert limits.margin_above is None
    assert limits.alarm == pytest.approx(APART * limits.floor)


def test_a_change_that_few_prompts_show_is_seen_by_the_worst_of_them():
    # every fourth prompt is far away: the mean of 12 may hold hardly any of them, the mean of all is within the floor
    means = [0.35 if not number % 4 else 0.001 for number in range(PROMPTS)]
    limits = limits_of([*FLOORS, change("no-thumbnail", means), steady("int4", 0.4)], 24)
    assert "no-thumbnail" in limits.refused
    assert limits.alarm_prompt < 0.35


def test_a_change_that_too_few_prompts_show_needs_more_of_them():
    means = [0.5 if not number % 40 else 0.0 for number in range(PROMPTS)]
    limits = limits_of([*FLOORS, change("tiles-reversed", means), steady("int4", 0.4)], SAMPLE)
    assert limits.refused == ("int4",)
    assert 0 < limits.rates["tiles-reversed"] < 0.9
    assert limits.needed["tiles-reversed"] is None or limits.needed["tiles-reversed"] > SAMPLE


def test_lists_with_nothing_in_common_are_refused():
    empty = Change("no-bos", False, {str(n): PromptDistance(0.0, 0.0, 0, 300, 9.0, 15) for n in range(PROMPTS)})
    limits = limits_of([*FLOORS, empty], SAMPLE)
    assert limits.refused == ("no-bos",)
    assert math.isfinite(limits.alarm)
    assert math.isfinite(limits.alarm_prompt)


def test_tokens_in_common_are_judged_only_where_they_alone_see_a_change():
    mild = limits_of([*FLOORS, steady("int4", 0.17, lost=0.5)], SAMPLE)
    assert mild.common_top == pytest.approx(1 - WIDE_LOST)
    alone = limits_of([*FLOORS, steady("other-words", 0.016, lost=0.15)], SAMPLE)
    assert alone.refused == ("other-words",)
    assert 0.85 < alone.common_top < 1


def test_repeats_that_agree_to_the_last_digit_leave_room():
    same = Change("repeat: batch of 16", True, {str(n): prompt(0.0) for n in range(PROMPTS)})
    limits = limits_of([same, steady("int8", 0.018)], SAMPLE)
    assert limits.refused == ("int8",)
    assert 0.0003 < limits.alarm < 0.005
    assert not is_refused(limits, [prompt(0.0002)] * SAMPLE)


def test_the_floor_is_that_of_the_farthest_right_arithmetic():
    near = limits_of([FLOORS[1], steady("int8", 0.018)], SAMPLE)
    far = limits_of([*FLOORS, steady("int8", 0.018)], SAMPLE)
    assert near.refused == ("int8",)
    assert far.refused == ()


def test_more_prompts_see_more():
    needed = prompts_needed([*FLOORS, steady("int4", 0.17), steady("eps", 0.04, spread=0.6), steady("int8", 0.017)])
    assert needed["int4"] == 1
    assert 1 < needed["eps"] <= 32
    assert needed["int8"] is None


@pytest.mark.parametrize("seed", range(4))
def test_a_right_deployment_is_refused_in_no_more_than_one_run_of_a_thousand(seed):
    chance = random.Random(seed)
    scales = [0.015 * chance.lognormvariate(0, 0.25) for _ in range(PROMPTS)]
    floor = change("bf16", [scale * chance.lognormvariate(0, 0.1) for scale in scales], floor=True)
    limits = limits_of([floor, steady("eps", 0.055), steady("int4", 0.17)], SAMPLE)
    assert "eps" in limits.refused
    refused = sum(is_refused(limits, seen) for seen in runs(scales, 0.1, 3000, seed))
    assert refused <= 3


@pytest.mark.parametrize(
    "scales",
    [
        pytest.param([0.015 * random.Random(n).paretovariate(1.5) for n in range(PROMPTS)], id="heavy tail"),
        pytest.param([0.7 if n == 70 else 0.015 for n in range(PROMPTS)], id="one outlier"),
        pytest.param([0.1 if n % 10 == 0 else 0.001 for n in range(PROMPTS)], id="few prompts far"),
        pytest.param([0.0] * PROMPTS, id="no distance"),
    ],
)
def test_a_right_deployment_passes_whatever_its_prompts_are_like(scales):
    chance = random.Random(1)
    floor = change("bf16", [scale * chance.lognormvariate(0, 0.1) for scale in scales], floor=True)
    faults = [steady(f"fault {far}", far) for far in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)]
    limits = limits_of([floor, *faults], SAMPLE)
    refused = sum(is_refused(limits, seen) for seen in runs(scales, 0.1, 3000, seed=2))
    assert refused <= 3


@pytest.mark.parametrize("seed", range(4))
def test_what_is_promised_is_refused_in_all_runs_but_one_of_a_thousand(seed):
    chance = random.Random(seed)
    scales = [0.06 * chance.lognormvariate(0, 0.5) for _ in range(PROMPTS)]
    fault = change("eps", [scale * chance.lognormvariate(0, 0.1) for scale in scales])
    limits = limits_of([*FLOORS, fault], SAMPLE)
    assert limits.refused == ("eps",)
    refused = sum(is_refused(limits, seen) for seen in runs(scales, 0.1, 3000, seed))
    assert refused >= 2997


def test_the_same_changes_give_the_same_limits():
    changes = [*FLOORS, steady("int4", 0.17)]
    assert limits_of(changes, SAMPLE) == limits_of(changes, SAMPLE)


def test_the_rates_of_other_limits_are_those_of_runs():
    changes = [*FLOORS, steady("int8", 0.018), steady("int4", 0.17)]
    limits = limits_of(changes, SAMPLE, count_needed=False)
    assert limits.needed == {}
    same = seen_by(changes, SAMPLE, (limits.alarm, limits.alarm_prompt, limits.common_top))
    assert same == limits.rates
    assert seen_by(changes, SAMPLE, (0.001, 9.0, 0.0)) == {"int8": 1.0, "int4": 1.0}
    assert seen_by(changes, SAMPLE, (9.0, 9.0, 0.0)) == {"int8": 0.0, "int4": 0.0}


def test_without_a_floor_there_are_no_limits():
    with pytest.raises(UsageProblem, match="no floor"):
        limits_of([steady("int4", 0.17)], SAMPLE)


def test_a_change_without_prompts_is_named():
    with pytest.raises(UsageProblem, match="'int4'"):
        limits_of([*FLOORS, Change("int4", False, {})], SAMPLE)


def test_a_change_without_prompts_is_left_out_of_what_is_seen():
    changes = [*FLOORS, steady("int8", 0.018), Change("none", False, {})]
    assert seen_by(changes, SAMPLE, (0.001, 9.0, 0.0)) == {"int8": 1.0}
    assert seen_by(changes, 0, (0.001, 9.0, 0.0)) == {}


def test_of_many_floors_the_farthest_ones_decide():
    near = [steady(f"start {number}", 0.002, floor=True, seed=number) for number in range(60)]
    wild = Change("wild", True, {**near[0].prompts, "7": prompt(0.5)})
    lossy = steady("lossy", 0.001, floor=True, lost=0.3)
    few = limits_of([near[0], FLOORS[0], wild, lossy], SAMPLE)
    many = limits_of([*near, FLOORS[0], wild, lossy], SAMPLE)
    assert many.alarm == pytest.approx(few.alarm, rel=0.05)
    assert many.alarm_prompt == pytest.approx(few.alarm_prompt, rel=0.05)
    assert many.common_top == pytest.approx(few.common_top, abs=0.02)


def test_a_hundred_changes_cost_a_few_seconds():
    changes = [steady(f"start {n}", 0.01, floor=True) for n in range(40)]
    changes += [steady(f"fault {n}", 0.02 + 0.01 * n) for n in range(60)]
    before = time.process_time()
    limits_of(changes, SAMPLE, count_needed=False)
    assert time.process_time() - before < 5
