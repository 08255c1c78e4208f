"""The summary of a run, and the profiles and baselines that it records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.checks.latency import LatencyRow
from vlm_acceptance.config.options import PROFILES, load
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.finding import Finding, Outcome, Verdict
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.verdict import Ruling, TestResult
from vlm_acceptance.report.store import masker
from vlm_acceptance.run import calibration, outputs
from vlm_acceptance.run import summary as run_summary
from vlm_acceptance.run.context import RunContext

ACCEPTED = Ruling(Verdict.ACCEPTED, 0, "all 1 required tests passed")
ROW = LatencyRow(3, 0.1, None, 2.0, None, 9.0, 12)


def context_of(tmp_path: Path, profile: str = "control-cpu", **values: object) -> RunContext:
    given = {"vlm_reports": str(tmp_path), **values}
    return RunContext(load(given, {}, profile, "a test"), lambda _: None, lambda _: None)


def attached(tmp_path: Path, profile: str = "control-cpu", **values: object) -> RunContext:
    return context_of(tmp_path, profile, vlm_base_url="http://127.0.0.1:9", **values)


def result(area: str, outcome: Outcome, *categories: str) -> TestResult:
    name = f"tests/acceptance/test_{area}.py::test_x[{len(categories)}{outcome.value}]"
    return TestResult(name, area, outcome, 0.5, f"{outcome.value}\nmore", "It MUST.", categories=categories)


def found(kind: kinds.FindingClass, graded: Severity | None = None) -> Finding:
    return Finding(kind, "this", "that", graded=graded)


def test_an_attached_run_lists_what_was_not_examined(tmp_path: Path) -> None:
    summary = run_summary.collect(attached(tmp_path), ACCEPTED)
    assert summary["scope"]["deployment"] == "endpoint only"
    assert summary["scope"]["mode"] == "as attached"
    assert (summary["versions"], summary["device"], summary["model_files"], summary["engine"]) == ({}, None, None, {})
    assert any("were not examined" in note for note in summary["notes"])
    assert json.loads(json.dumps(summary, default=str))["verdict"] == "accepted"


def test_the_statement_of_a_control_is_about_no_other_model(tmp_path: Path) -> None:
    assert "nothing is said about InternVL2-2B" in run_summary.statement(attached(tmp_path))
    real = attached(tmp_path, "internvl2-2b-ascend")
    assert run_summary.statement(real).startswith("OpenGVLab/InternVL2-2B as profile internvl2-2b-ascend deploys it")


def test_replaced_settings_and_missing_calibration_are_notes(tmp_path: Path) -> None:
    notes = "\n".join(run_summary.notes(context_of(tmp_path, "internvl2-2b-ascend")))
    assert "uncalibrated" in notes
    assert "first estimates" in notes
    assert "PYTORCH_NPU_ALLOC_CONF" in notes
    demoted = run_summary.notes(attached(tmp_path, vlm_set=["capability.report_only=[ocr, chinese]"]))
    assert any("ocr, chinese" in note for note in demoted)


def test_tests_of_the_plan_that_never_finished_count_as_not_run(tmp_path: Path) -> None:
    context = attached(tmp_path)
    context.record.results = [result("health", Outcome.PASSED), result("health", Outcome.FAILED)]
    context.record.required = [
        context.record.results[0].id,
        "tests/acceptance/test_health.py::y",
        "tests/acceptance/test_offline.py::z",
    ]
    assert run_summary.areas(context) == {"health": {"passed": 1, "failed": 1, "not run": 1}, "offline": {"not run": 1}}


def test_the_profile_is_reported_by_hash_and_overrides(tmp_path: Path) -> None:
    plain = run_summary.profile_facts(attached(tmp_path))
    changed = run_summary.profile_facts(attached(tmp_path, vlm_set=["deadlines.cold_s=7"]))
    assert plain["overrides"] == {}
    assert changed["overrides"] == {"deadlines.cold_s": "--vlm-set"}
    assert plain["sha256"] != changed["sha256"]
    assert plain["sha256"] == run_summary.profile_facts(attached(tmp_path))["sha256"]


def test_junit_properties_are_strings(tmp_path: Path) -> None:
    context = attached(tmp_path)
    properties = {**run_summary.known_before(context), **run_summary.known_after(context)}
    assert all(isinstance(value, str) and value for value in properties.values())
    assert properties["control"] == "yes"


def test_the_summary_is_on_disk_and_latest_points_to_it(tmp_path: Path) -> None:
    context = attached(tmp_path)
    context.record.results = [result("health", Outcome.PASSED)]
    lines = outputs.write_run(context, ACCEPTED)
    assert lines[0].startswith("ACCEPTED (control)  ")
    assert json.loads((tmp_path / "latest" / "summary.json").read_text("utf-8"))["exit_code"] == 0
    assert (tmp_path / "latest").resolve() == context.store.folder


def test_the_header_is_short_and_names_what_was_overridden(tmp_path: Path) -> None:
    header = outputs.header(attached(tmp_path, vlm_set=["deadlines.cold_s=7"]))
    assert len(header) <= 6
    assert "overrides: deadlines.cold_s (--vlm-set)" in header


def test_a_recorded_baseline_is_a_profile_with_budgets_above_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    context.record.latency = {"ocr": ROW}
    assert calibration.record(context, ACCEPTED)[0].startswith("  baseline: ")
    profile = load_profile(str(file), PROFILES).profile
    budget = profile.latency.budget("ocr")
    assert (profile.name, profile.model.id) == ("mine", "vlm-acceptance/control")
    assert budget.ttft_s == pytest.approx(0.15)
    assert (budget.tpot_s, budget.e2e_s) == (0.03, pytest.approx(3.0))
    assert profile.latency.recorded
    assert not any("first estimates" in note for note in run_summary.notes(attached(tmp_path, str(file))))


def test_nothing_measured_is_nothing_recorded(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert "not recorded" in calibration.record(attached(tmp_path, vlm_record_baseline=str(file)), ACCEPTED)[0]
    assert "not recorded" in calibration.record(attached(tmp_path, vlm_calibrate=str(file)), ACCEPTED)[0]
    assert not file.exists()


def test_the_header_names_the_present_name_of_a_former_key(tmp_path: Path) -> None:
    header = outputs.header(attached(tmp_path, vlm_set=["capability.demoted=[ocr]"]))
    assert [line for line in header if line.startswith("note: --vlm-set: the key 'capability.demoted' is now")]


def test_calibration_sets_only_the_failed_categories_to_report_only(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = attached(tmp_path, vlm_calibrate=str(file))
    context.record.results = [
        result("capability", Outcome.PASSED, "ocr"),
        result("capability", Outcome.FAILED, "chinese"),
        result("health", Outcome.PASSED),
    ]
    calibration.record(context, ACCEPTED)
    capability = load_profile(str(file), PROFILES).profile.capability
    assert (capability.calibrated, capability.report_only) == (True, ["chinese"])


WRONG = found(kinds.ANSWER_COUNT)


def test_calibration_uses_every_test_that_found_a_category_below_its_bar(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = attached(tmp_path, vlm_calibrate=str(file))
    context.record.results = [
        result("capability", Outcome.PASSED, "ocr"),
        replace(result("pictures", Outcome.FAILED, "chinese", "ocr"), findings=(WRONG,)),
        replace(
            result("pictures", Outcome.FAILED, "multi_picture"),
            findings=(found(kinds.MULTI_ORDER),),
        ),
    ]
    calibration.record(context, replace(ACCEPTED, code=1))
    assert load_profile(str(file), PROFILES).profile.capability.report_only == ["chinese", "multi_picture", "ocr"]


@pytest.mark.parametrize(
    ("finding", "named", "why"),
    [
        (found(kinds.CONTAMINATED), ("ocr",), "fatal findings"),
        (found(kinds.LATENCY_TTFT), ("ocr",), "something else"),
        (found(kinds.ANSWER_FOREIGN), ("ocr",), "fatal findings"),
        (WRONG, (), "something else"),
    ],
)
def test_a_finding_about_anything_but_ability_calibrates_nothing(
    tmp_path: Path, finding: Finding, named: tuple[str, ...], why: str
) -> None:
    context = attached(tmp_path, vlm_calibrate=str(tmp_path / "mine.yaml"))
    context.record.results = [
        result("capability", Outcome.PASSED, "chinese"),
        replace(result("pictures", Outcome.FAILED, *named), findings=(finding,)),
    ]
    (line,) = calibration.record(context, replace(ACCEPTED, code=1))
    assert "not recorded" in line
    assert why in line


def test_a_run_whose_cases_did_not_all_run_calibrates_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = attached(tmp_path, vlm_calibrate=str(file))
    context.record.results = [
        result("capability", Outcome.PASSED, "ocr"),
        result("capability", Outcome.ERROR, "x"),
    ]
    assert "not recorded" in calibration.record(context, ACCEPTED)[0]
    assert not file.exists()


@pytest.mark.parametrize(
    "spoiled",
    [
        {"narrowed": "-k 'ocr'"},
        {"results": [result("capability", Outcome.FAILED, "ocr"), result("schema", Outcome.FAILED)]},
        {
            "results": [
                replace(
                    result("capability", Outcome.FAILED, "ocr"),
                    findings=(found(kinds.ANSWER_COUNT, Severity.FATAL),),
                )
            ]
        },
    ],
    ids=["narrowed", "something else failed", "fatal"],
)
def test_a_deployment_that_was_not_found_right_records_nothing(tmp_path: Path, spoiled: dict[str, object]) -> None:
    file = tmp_path / "mine.yaml"
    context = attached(tmp_path, vlm_calibrate=str(file), vlm_record_baseline=str(file))
    context.record.latency = {"ocr": ROW}
    context.record.results = [result("capability", Outcome.PASSED, "ocr")]
    for name, value in spoiled.items():
        setattr(context.record, name, value)
    assert all("not recorded" in line for line in calibration.record(context, ACCEPTED))
    assert not file.exists()


def test_recorded_log_probabilities_are_a_baseline_to_compare_with(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    assert context.settings.record_baseline is None
    context.record.logprobs = list(attached(tmp_path).inputs.stored_logprobs)
    assert calibration.record(context, ACCEPTED) == [f"  baseline: {file} (129 prompts)"]
    again = attached(tmp_path, vlm_baseline=str(file))
    assert (again.settings.baseline, again.settings.logprobs_baseline) == (None, file)
    assert list(again.inputs.stored_logprobs) == context.record.logprobs


def test_recorded_log_probabilities_hold_no_key_and_can_be_read_after_any_answer(tmp_path: Path) -> None:
    key, file = "sk-'quoted\"<&>\\-0123456789", tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    context.mask = masker(key)
    known = list(context.inputs.stored_logprobs)
    answer = f"your key is {key}\x1b[2J\x00\ud800</script>\r\n"
    context.record.logprobs = [replace(row, logprobs=replace(row.logprobs, text=answer)) for row in known]
    assert calibration.record(context, ACCEPTED) == [f"  baseline: {file} (129 prompts)"]
    assert key[-10:] not in file.read_text("utf-8")
    again = list(attached(tmp_path, vlm_baseline=str(file)).inputs.stored_logprobs)
    assert [row.logprobs.tokens for row in again] == [row.logprobs.tokens for row in known]
    assert again[0].logprobs.text == "your key is [masked]\x1b[2J\x00?</script>\r\n"


def test_a_baseline_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    context.record.logprobs = list(attached(tmp_path).inputs.stored_logprobs)

    def full(path: Path, text: str, *_: object, **__: object) -> None:
        path.write_bytes(text.encode()[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        calibration.record(context, ACCEPTED)
    assert not file.exists()


def prompts(tmp_path: Path, *rows: dict[str, object]) -> str:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": "What?", **row}) + "\n" for row in rows), "utf-8")
    return f"logprobs.prompts={path}"


SIGN = {"id": "a", "pictures": ["ocr/sign-1.png"]}
BARE: dict[str, object] = {"id": "b", "pictures": []}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([SIGN], "holds no prompt without a picture"),
        ([BARE], "holds no prompt with a picture"),
        ([SIGN, BARE, {"id": "c", "pictures": ["none.png"]}], "'c' names the picture 'none.png'"),
        ([SIGN, {"id": "b"}], "line 2 is not a valid row"),
        ([], "holds no row"),
    ],
)
def test_prompts_that_cannot_be_sent_are_reported_before_anything_starts(
    tmp_path: Path, rows: list[dict[str, object]], why: str
) -> None:
    with pytest.raises(UsageProblem, match=why) as raised:
        attached(tmp_path, vlm_set=[prompts(tmp_path, *rows)]).inputs.check(str)
    assert "\n" not in str(raised.value)


def test_an_unknown_question_for_long_similar_pictures_is_reported_with_the_nearest(tmp_path: Path) -> None:
    attached(tmp_path, vlm_set=[prompts(tmp_path, SIGN, BARE)]).inputs.check(str)
    wanted = "capability.long_similar_pictures.question=understanding/plumb"
    with pytest.raises(UsageProblem, match="Did you mean 'understanding/plum'") as raised:
        attached(tmp_path, vlm_set=[wanted]).inputs.check(str)
    assert str(raised.value).startswith("capability.long_similar_pictures.question: 'understanding/plumb'")


def test_an_unusable_baseline_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="line 1 is not a valid row of log probabilities"):
        attached(tmp_path, vlm_set=["logprobs.baseline=fixtures/control/expected.jsonl"]).inputs.check(str)
    row = (PROFILES.parent / "baselines" / "control.jsonl").read_text("utf-8").splitlines()[0]
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text(row.replace("sign-1.png", "sign-99.png"), "utf-8")
    with pytest.raises(UsageProblem, match="'ocr/sign-1' names the picture 'ocr/sign-99.png'"):
        attached(tmp_path, vlm_baseline=str(foreign)).inputs.check(str)


@pytest.mark.parametrize("spoiled", ["narrowed", "a prompt without log probabilities", "rejected"])
def test_log_probabilities_of_a_deployment_that_is_not_right_are_not_recorded(tmp_path: Path, spoiled: str) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    known = list(attached(tmp_path).inputs.stored_logprobs)
    context.record.logprobs = known[1:] if spoiled == "a prompt without log probabilities" else known
    context.record.narrowed = "-k 'ocr'" if spoiled == "narrowed" else ""
    ruling = replace(ACCEPTED, code=1) if spoiled == "rejected" else ACCEPTED
    assert "not recorded" in calibration.record(context, ruling)[0]
    assert not file.exists()


@pytest.mark.parametrize("second", ["mine.yaml", "budgets.yaml"])
def test_calibration_and_baseline_of_one_run_do_not_lose_each_other(tmp_path: Path, second: str) -> None:
    files = {"vlm_calibrate": str(tmp_path / "mine.yaml"), "vlm_record_baseline": str(tmp_path / second)}
    context = attached(tmp_path, **files)
    context.record.latency = {"ocr": ROW}
    context.record.results = [result("capability", Outcome.PASSED, "ocr")]
    calibration.record(context, ACCEPTED)
    profile = load_profile(str(tmp_path / second), PROFILES).profile
    assert profile.capability.calibrated
    assert profile.latency.recorded


def test_a_proxy_is_a_note_of_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    notes = run_summary.collect(attached(tmp_path), ACCEPTED)["notes"]
    assert "a proxy is set (HTTPS_PROXY); requests to this machine do not use it" in notes
    monkeypatch.setenv("HTTPS_PROXY", "")
    assert not any("proxy" in note for note in run_summary.notes(attached(tmp_path)))


def test_known_issues_that_occurred_are_notes_of_the_verdict(tmp_path: Path) -> None:
    context = attached(tmp_path)
    context.record.known_issues = {"a-500 (an issue; vllm ==0.18.*; read)": ["test_x[a]", "test_x[b]"]}
    notes = run_summary.collect(context, ACCEPTED)["notes"]
    assert "known issue, seen in 2 test(s): a-500 (an issue; vllm ==0.18.*; read)" in notes
