"""What a run records when its deployment is right: bars of ability, latency budgets, log probabilities."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.made_context import ACCEPTED, REAL, ROW, attached, counted, found, result

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding, Outcome, Verdict
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.verdict import Ruling, rule
from vlm_acceptance.core.waiting import Waited
from vlm_acceptance.run import calibrate, calibration, outputs
from vlm_acceptance.run import summary as run_summary
from vlm_acceptance.run.context import RunContext

WRONG = found(kinds.ANSWER_COUNT)
SLOW = found(kinds.LATENCY_TTFT)


def first_day(tmp_path: Path, **right: int) -> tuple[RunContext, Ruling]:
    """A run of an uncalibrated profile with one test below a bar, and its ruling."""
    context = counted(attached(tmp_path, REAL), **right)
    below = replace(result("capability", Outcome.TO_CALIBRATE, "ocr"), findings=(WRONG,))
    context.record.results.append(below)
    return context, rule(context.record.results, [one.id for one in context.record.results])


def test_a_recorded_baseline_is_a_profile_with_budgets_above_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_record_baseline=str(file)))
    context.record.latency["ocr"] = replace(ROW, ttft_s=0.3, e2e_s=0.02)
    assert calibration.record(context, ACCEPTED)[0].startswith(f"  baseline: {file} ")
    profile = load_profile(str(file), PROFILES).profile
    budget = profile.latency.budget("ocr")
    assert (profile.name, profile.model.id) == ("mine", context.profile.model.id)
    assert budget.ttft_s == pytest.approx(0.45)
    assert budget.tpot_s == context.profile.latency.default.tpot_s  # nothing was measured
    # ocr answers with up to 64 tokens: a longer answer than that of today is no slower deployment
    assert budget.e2e_s == pytest.approx(0.45 + 63 * 0.08)
    assert profile.latency.recorded
    assert not any("first estimates" in note for note in run_summary.notes(attached(tmp_path, str(file))))


def test_nothing_measured_is_nothing_recorded(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert "not recorded" in calibration.record(attached(tmp_path, vlm_record_baseline=str(file)), ACCEPTED)[0]
    assert "not recorded" in calibration.record(attached(tmp_path, vlm_calibrate=str(file)), ACCEPTED)[0]
    assert not file.exists()


def test_calibration_records_the_right_answers_of_every_question(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file)), chinese=5, multi_picture=2)
    (line,) = calibration.record(context, ACCEPTED)
    assert "lower bars for chinese/sign 5 of 8, chinese/sign-en 5 of 8, multi_picture 2 of 4" in line
    capability = load_profile(str(file), PROFILES).profile.capability
    assert (capability.calibrated, capability.report_only) == (True, [])
    assert (capability.recorded["chinese/sign"], capability.recorded["ocr/sign"]) == (5, 8)
    notes = run_summary.notes(attached(tmp_path, str(file)))
    seen = "chinese/sign 5 of 8 (bar 3), chinese/sign-en 5 of 8 (bar 3), multi_picture 2 of 4 (bar 1)"
    assert f"bars lowered by the calibration, which saw: {seen}" in notes


@pytest.mark.parametrize(("right", "bar"), [(None, 4), (8, 4), (4, 4), (3, 2), (2, 2), (1, 4)])
def test_few_new_pictures_that_were_read_lower_their_bar_to_blindness(
    tmp_path: Path, right: int | None, bar: int
) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file)))
    context.record.new_pictures = right
    calibration.record(context, ACCEPTED)
    assert load_profile(str(file), PROFILES).profile.challenge.min_correct == bar


def test_a_lost_order_of_pictures_is_named_in_every_verdict(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    calibration.record(counted(attached(tmp_path, REAL, vlm_calibrate=str(file)), multi_picture=0), ACCEPTED)
    notes = run_summary.notes(attached(tmp_path, str(file)))
    assert "bars lowered by the calibration, which saw: multi_picture 0 of 4 (bar 0)" in notes


def test_the_lowest_count_of_a_question_is_recorded(tmp_path: Path) -> None:
    record = attached(tmp_path).record
    for right in (7, 5, 8):
        record.count("ocr/sign", right, 8)
    assert record.right == {"ocr/sign": (5, 8)}
    assert record.counted == {"ocr/sign": 5}


@pytest.mark.parametrize(
    ("finding", "why"),
    [
        (found(kinds.CONTAMINATED), "a calibration cannot accept fatal findings: test_x[0failed]: failed"),
        (found(kinds.ANSWER_FOREIGN), "cannot accept fatal findings"),
        (found(kinds.ANSWER_COUNT, Severity.FATAL), "cannot accept fatal findings"),
        (found(kinds.MULTI_REVERSED), "calibration cannot accept what failed"),
        (found(kinds.ANSWER_LARGE), "calibration cannot accept what failed"),
        (found(kinds.LATENCY_NO_STREAM), "calibration cannot accept what failed: test_x[0failed]: failed"),
        (found(kinds.USAGE_SUM), "calibration cannot accept"),
        (found(kinds.LEAK), "calibration cannot accept"),
        (None, "calibration cannot accept"),
    ],
)
def test_a_failure_that_calibration_cannot_accept_is_named_and_nothing_is_recorded(
    tmp_path: Path, finding: Finding | None, why: str
) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file), vlm_record_baseline=str(file)))
    findings = (finding,) if finding else ()
    context.record.results.append(replace(result("pictures", Outcome.FAILED), findings=findings))
    lines = calibration.record(context, replace(ACCEPTED, code=1))
    assert [("not recorded" in line, why in line) for line in lines] == [(True, True)] * 2
    assert not file.exists()


@pytest.mark.parametrize("finding", [WRONG, SLOW, found(kinds.MULTI_ORDER)])
def test_ability_and_latency_do_not_prevent_a_recording(tmp_path: Path, finding: Finding) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file), vlm_record_baseline=str(file)))
    context.record.results.append(replace(result("capability", Outcome.FAILED, "ocr"), findings=(finding,)))
    assert not any("not recorded" in line for line in calibration.record(context, replace(ACCEPTED, code=1)))
    profile = load_profile(str(file), PROFILES).profile
    assert (profile.capability.calibrated, profile.latency.recorded) == (True, True)


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.NOT_RUN])
def test_what_was_not_measured_is_not_recorded(tmp_path: Path, outcome: Outcome) -> None:
    files = {"vlm_calibrate": str(tmp_path / "a.yaml"), "vlm_record_baseline": str(tmp_path / "b.yaml")}
    context = counted(attached(tmp_path, REAL, **files))
    context.record.results.append(result("latency", outcome))
    bars, budgets = calibration.record(context, replace(ACCEPTED, code=11))
    assert "not recorded" not in bars
    assert f"not recorded (the latencies were not all measured: test_x[0{outcome.value}]" in budgets
    context.record.results.append(result("capability", outcome, "ocr"))
    assert "not recorded" in calibration.record(context, replace(ACCEPTED, code=11))[0]


@pytest.mark.parametrize(("waited_s", "is_recorded"), [(0.3, True), (0.4, False)])
def test_latencies_of_a_starved_machine_are_no_budgets(tmp_path: Path, waited_s: float, is_recorded: bool) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_record_baseline=str(file)))
    context.record.waits = [Waited(1.0, own_s=waited_s), Waited(1.0, own_s=waited_s)]
    (line,) = calibration.record(context, ACCEPTED)
    assert file.exists() == is_recorded
    assert ("not recorded (the machine was too busy to measure: 800 ms of 2000 ms waiting" in line) != is_recorded


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda record: record.right.pop("ocr/sign-zh"), "no answers to ocr/sign-zh"),
        (lambda record: record.right.pop("multi_picture"), "no answers to multi_picture"),
        (lambda record: setattr(record, "narrowed", "-k 'ocr'"), "partial run (-k 'ocr')"),
    ],
)
def test_a_run_without_all_questions_calibrates_nothing(tmp_path: Path, spoil, why: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file)))
    spoil(context.record)
    (line,) = calibration.record(context, ACCEPTED)
    assert "not recorded" in line
    assert why in line
    assert not file.exists()


@pytest.mark.parametrize("second", ["mine.yaml", "budgets.yaml"])
def test_calibration_and_baseline_of_one_run_do_not_lose_each_other(tmp_path: Path, second: str) -> None:
    files = {"vlm_calibrate": str(tmp_path / "mine.yaml"), "vlm_record_baseline": str(tmp_path / second)}
    context = counted(attached(tmp_path, REAL, **files))
    calibration.record(context, ACCEPTED)
    profile = load_profile(str(tmp_path / second), PROFILES).profile
    assert profile.capability.calibrated
    assert profile.latency.recorded


@pytest.mark.parametrize(
    ("profile", "finding", "waits"),
    [
        (REAL, WRONG, True),
        (REAL, SLOW, True),
        (REAL, found(kinds.MULTI_ORDER), True),
        (REAL, found(kinds.LOAD_COUNT), True),
        (REAL, found(kinds.OFFLINE_TEXT), True),
        (REAL, found(kinds.OFFLINE_OTHER), False),
        (REAL, found(kinds.MULTI_REVERSED), False),
        (REAL, found(kinds.ANSWER_LARGE), False),
        ("control-cpu", found(kinds.OFFLINE_TEXT), False),
        (REAL, found(kinds.LOAD_COUNT, Severity.FATAL), False),
        (REAL, found(kinds.ANSWER_COUNT, Severity.FATAL), False),
        (REAL, found(kinds.ANSWER_WRONG, Severity.FAILURE), False),
        (REAL, found(kinds.ANSWER_BLIND), False),
        (REAL, found(kinds.REPEATED_PHRASE), False),
        (REAL, found(kinds.HANG), False),
        (REAL, found(kinds.LEAK), False),
        (REAL, found(kinds.LATENCY_NO_STREAM), False),
        (REAL, found(kinds.LOAD_TTFT), False),
        ("control-cpu", WRONG, False),
        ("control-cpu", SLOW, False),
        ("control-cpu", found(kinds.LOAD_COUNT), False),
    ],
)
def test_only_a_bar_that_was_never_calibrated_can_wait(
    tmp_path: Path, profile: str, finding: Finding, waits: bool
) -> None:
    assert calibration.can_wait(attached(tmp_path, profile), finding) == waits


def test_too_few_right_answers_under_load_are_a_failure_where_more_were_counted_alone(tmp_path: Path) -> None:
    context = counted(attached(tmp_path, REAL))
    assert not calibration.can_wait(context, found(kinds.LOAD_COUNT))


def test_the_verdict_of_a_first_day_gives_the_command_that_records_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    context, ruling = first_day(tmp_path, ocr=5)
    assert (ruling.verdict, ruling.code, ruling.to_calibrate) == (Verdict.INCONCLUSIVE, 11, True)
    text = "\n".join(outputs.write_run(context, ruling))
    assert text.startswith("INCONCLUSIVE (to be calibrated)  OpenGVLab/InternVL2-2B as profile")
    assert "one test is below bars that were never calibrated for this deployment, and nothing failed; " in text
    assert "right ocr (TextVQA): sign 5 of 8, sign-zh 5 of 8" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  next: ")]
    page = (context.store.folder / "report.html").read_text("utf-8")
    assert "INCONCLUSIVE (to be calibrated)" in page
    assert "record this run as its calibration" in page
    _, module, name, *args = shlex.split(line.partition("calibration: ")[2])
    assert (module, name) == ("-m", "vlm_acceptance.run.calibrate")
    assert calibrate.main(args) == 0
    out = capsys.readouterr().out
    assert "calibration: internvl2-2b-ascend-calibrated.yaml (lower bars for ocr/sign 5 of 8, ocr/sign-zh" in out
    assert "next: vlm-acceptance smoke --vlm-profile=internvl2-2b-ascend-calibrated.yaml" in out
    profile = load_profile("internvl2-2b-ascend-calibrated.yaml", PROFILES).profile
    assert profile.capability.calibrated
    assert profile.latency.recorded
    assert profile.capability.recorded["ocr/sign"] == 5
    assert calibrate.main(args) == 4
    assert "exists already; it is not overwritten" in capsys.readouterr().err


def test_a_first_day_that_cannot_be_recorded_says_why(tmp_path: Path) -> None:
    context, ruling = first_day(tmp_path)
    context.record.right.clear()
    context.record.latency.clear()
    text = "\n".join(outputs.write_run(context, ruling))
    assert "next: this run cannot be recorded as a calibration (the capability cases of -m smoke did not all" in text
    assert "vlm_acceptance.run.calibrate" not in text


def test_a_rejected_run_does_not_offer_to_be_recorded(tmp_path: Path) -> None:
    context, _ = first_day(tmp_path)
    context.record.results.append(result("schema", Outcome.FAILED))
    ruling = rule(context.record.results, [])
    text = "\n".join(outputs.write_run(context, ruling))
    assert text.startswith("REJECTED  ")
    assert "vlm_acceptance.run.calibrate" not in text


def test_a_calibrated_profile_has_nothing_to_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = counted(attached(tmp_path))
    outputs.write_run(context, ACCEPTED)
    assert calibrate.main([str(context.store.folder), str(tmp_path / "mine.yaml")]) == 1
    assert "nothing to record: the profile control-cpu.yaml is calibrated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "is not the folder of a finished run"),
        ("{}", "has no calibration"),
        ("[", "is not valid JSON"),
        ("[]", "has no calibration"),
    ],
)
def test_a_folder_without_a_finished_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content, "utf-8")
    assert calibrate.main([str(tmp_path), str(tmp_path / "mine.yaml")]) == 4
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1


def test_a_run_whose_profile_is_gone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context, ruling = first_day(tmp_path)
    outputs.write_run(context, ruling)
    path = context.store.folder / "summary.json"
    stored = json.loads(path.read_text("utf-8"))
    stored["calibration"]["base"] = str(tmp_path / "gone.yaml")
    path.write_text(json.dumps(stored), "utf-8")
    assert calibrate.main([str(context.store.folder), str(tmp_path / "mine.yaml")]) == 4
    assert "gone.yaml, does not exist any more" in capsys.readouterr().err


LADDER = {
    "prompt": "text-256",
    "prompt_tokens": 256,
    "capacity": 16,
    "end": "16 is the most that was tried",
    "steps": [{"concurrency": 16}],
    "recorded": {"concurrency": 16, "e2e_s": 0.5, "e2e_high_s": 0.6},
}


def after_slow(tmp_path: Path, **values: object) -> RunContext:
    context = attached(tmp_path)
    context.record.results = [result("capacity", Outcome.PASSED)]
    context.record.capacity = [{**LADDER, **values}]
    return context


def test_an_accepted_ladder_is_recorded_as_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context, file = after_slow(tmp_path), tmp_path / "mine.yaml"
    (tmp_path / "summary.json").write_text(json.dumps({"calibration": calibration.proposal(context, ACCEPTED)}))
    assert calibrate.main([str(tmp_path), str(file)]) == 0
    assert f"capacity: {file} (text-256 16 at once)" in capsys.readouterr().out
    recorded = load_profile(str(file), PROFILES).profile.ladder.baseline["text-256"]
    assert (recorded.concurrency, recorded.e2e_s, recorded.e2e_high_s) == (16, 0.5, 0.6)


def test_a_ladder_that_was_not_measured_to_its_end_is_not_recorded(tmp_path: Path) -> None:
    busy = after_slow(tmp_path, recorded=None, capacity=None, end="the machine was busy at 16")
    part = calibration.proposal(busy, ACCEPTED)["parts"]["ladder"]
    assert part == {"content": {}, "summary": "no capacity of text-256: the machine was busy at 16"}
    assert "ladder" not in calibration.proposal(attached(tmp_path), ACCEPTED)["parts"]
