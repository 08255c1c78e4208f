"""A profile that a reference's power writes is a profile, and its limits are those of the power."""

from __future__ import annotations

import pytest
import yaml

from vlm_acceptance.checks.reference_limits import limits_of
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.logprobs import LogProbPrompt, LogProbs, StoredLogProbs, line_of
from vlm_acceptance.core.reference import Change, Origin, PromptDistance
from vlm_acceptance.core.reference_file import change_line, origin_line
from vlm_acceptance.reference.__main__ import main

BASE = "control-cpu"


def change(name, mean, floor=False):
    rows = {str(n): PromptDistance(mean * (1 + n / 100) * 100, mean * 9, 100, 102, 0.1, 5) for n in range(20)}
    return Change(name, floor, rows)


def far(mean):
    return PromptDistance(mean * 100, mean * 9, 100, 102, 0.1, 5)


FLOOR, INT8, INT4 = change("bf16", 0.015, floor=True), change("int8", 0.018), change("int4", 0.2)
FP16 = change("fp16", 0.002, floor=True)


def written(path, *changes, origin=True, arithmetic="float32"):
    made = Origin("control", {"config.json": "a" * 64}, "", "own", arithmetic, "served", 2)
    changes = [*changes, FP16] if FLOOR in changes else changes
    answer = LogProbs("x", (5,), ({5: -0.1, 7: -3.0},))
    rows = [line_of(StoredLogProbs(LogProbPrompt(str(n), "Hi"), answer)) for n in range(20)]
    first = [origin_line(made)] if origin else []
    path.write_text("".join(f"{line}\n" for line in [*first, *rows, *map(change_line, changes)]))
    return path


def run(*words):
    return main(["profile", *map(str, words)])


def test_the_profile_extends_the_base_with_the_limits_of_the_power(tmp_path, capsys):
    file, out = written(tmp_path / "r.jsonl", FLOOR, INT8, INT4), tmp_path / "mine.yaml"
    assert run(file, "--profile", BASE, "--out", out) == 0
    limits, profile = limits_of([FLOOR, INT8, INT4], 12), load_profile(str(out), PROFILES).profile
    assert profile.name == "mine"
    assert profile.logprobs.baseline == str(file.resolve())
    assert profile.logprobs.alarm == pytest.approx(limits.alarm, rel=0.01)
    assert profile.logprobs.alarm_prompt == pytest.approx(limits.alarm_prompt, rel=0.01)
    assert profile.logprobs.sample == 12
    said = capsys.readouterr().out
    assert "refuse: weights at 4 bits in groups of 32" in said
    assert "do not refuse: weights at 8 bits (0.02 nats)" in said
    assert f"--vlm-profile={out}" in said


def test_a_fault_that_no_prompt_shows_is_named_so(tmp_path, capsys):
    unseen = change("no-thumbnail", 0.0)
    assert run(written(tmp_path / "r.jsonl", FLOOR, INT4, unseen), "--profile", BASE) == 0
    assert "# they do not refuse: no thumbnail (no prompt shows it)" in capsys.readouterr().out


def test_without_a_file_the_profile_is_printed(tmp_path, capsys):
    assert run(written(tmp_path / "r.jsonl", FLOOR, INT4), "--profile", BASE, "--sample", "6") == 0
    content = yaml.safe_load(capsys.readouterr().out)
    assert (content["extends"], content["logprobs"]["sample"]) == (BASE, 6)


def test_where_nothing_can_be_told_apart_no_profile_is_written(tmp_path, capsys):
    out = tmp_path / "mine.yaml"
    assert run(written(tmp_path / "r.jsonl", FLOOR, INT8), "--profile", BASE, "--out", out) == 1
    assert not out.exists()
    assert "no fault can be told from the floor" in capsys.readouterr().err


def test_a_record_of_a_deployment_takes_its_faults_from_a_reference(tmp_path):
    repeats = [change("repeat: batch of 16", 0.0001, floor=True), change("repeat: restart", 0.0002, floor=True)]
    record = written(tmp_path / "right.jsonl", *repeats, origin=False)
    power, out = written(tmp_path / "r.jsonl", FLOOR, INT8, INT4), tmp_path / "mine.yaml"
    assert run(record, "--power", power, "--profile", BASE, "--out", out) == 0
    alarm = load_profile(str(out), PROFILES).profile.logprobs.alarm
    assert 0.0004 < alarm < 0.018
    assert "refuse: weights at 8 bits, weights at 4 bits" in out.read_text()


def test_a_part_of_the_floor_makes_narrower_limits(tmp_path, capsys):
    file = written(tmp_path / "r.jsonl", FLOOR, change("other-order", 0.004, floor=True), INT8, INT4)
    assert run(file, "--profile", BASE, "--floor", "other-order") == 0
    content = yaml.safe_load(capsys.readouterr().out)
    assert content["logprobs"]["alarm"] < 0.018
    assert run(file, "--profile", BASE, "--floor", "other-ordre") == 4
    assert "Did you mean 'other-order'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arithmetic", "lacking"),
    [("float32", "bf16, fp16"), ("bfloat16", "other-rounding"), ("float16", "other-rounding")],
)
def test_a_floor_that_is_too_small_is_refused_unless_it_is_named(tmp_path, capsys, arithmetic, lacking):
    again = change("again", 0.0, floor=True)
    file = written(tmp_path / "r.jsonl", again, INT4, arithmetic=arithmetic)
    assert run(file, "--profile", BASE) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert f"its floor lacks {lacking}," in line
    assert "--floor again" in line
    assert run(file, "--profile", BASE, "--floor", "again") == 0


def test_how_many_prompts_would_refuse_a_fault_is_said(tmp_path, capsys):
    rare = Change("bgr", False, {**change("bgr", 0.0).prompts, "7": far(0.9)})
    assert run(written(tmp_path / "r.jsonl", FLOOR, INT4, rare), "--profile", BASE, "--sample", "6") == 0
    # 16 of 20 evenly spread prompts have the eighth among them, whichever they begin with
    assert "colours in the order BGR (0.045 nats; 16 prompts can)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [((INT4,), "holds no floor"), ((FLOOR,), "holds no measured fault"), ((), "holds no floor")],
)
def test_a_file_without_floor_or_faults_is_one_line(tmp_path, capsys, changes, said):
    assert run(written(tmp_path / "r.jsonl", *changes), "--profile", BASE) == 4
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


def test_a_profile_is_not_overwritten_and_an_unknown_base_is_named(tmp_path, capsys):
    file, out = written(tmp_path / "r.jsonl", FLOOR, INT4), tmp_path / "mine.yaml"
    out.write_text("")
    assert run(file, "--profile", BASE, "--out", out) == 4
    assert "mine.yaml" in capsys.readouterr().err
    assert run(file, "--profile", "control-cpuu") == 4
    assert "control-cpu" in capsys.readouterr().err
