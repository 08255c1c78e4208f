"""The summary of a run, and what is reported before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.made_context import ACCEPTED, attached, context_of, result

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.run import outputs
from vlm_acceptance.run import summary as run_summary


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


def test_an_endpoint_that_chose_no_profile_is_not_called_the_control(tmp_path: Path) -> None:
    context = attached(tmp_path)
    context.record.unreachable = "nothing answers at http://127.0.0.1:9"
    told = run_summary.statement(context)
    assert told == "the endpoint http://127.0.0.1:9, which cannot be reached: its model and its profile are unknown"


def test_the_time_of_each_stage_is_kept_for_the_next_run(tmp_path: Path) -> None:
    context = attached(tmp_path)
    context.record.stage_seconds = {"engine": 24.5}
    assert run_summary.collect(context, ACCEPTED)["stage_seconds"] == {"engine": 24.5}


def test_declared_defaults_of_requests_are_a_note(tmp_path: Path) -> None:
    context = attached(tmp_path)
    assert not any("defaults of requests" in note for note in run_summary.notes(context))
    context.record.defaults = {"repetition_penalty": 1.1, "top_k": 50.0}
    wanted = "defaults of requests that name no value, as declared: repetition_penalty 1.1, top_k 50"
    assert wanted in run_summary.notes(context)


def test_replaced_settings_and_missing_calibration_are_notes(tmp_path: Path) -> None:
    notes = "\n".join(run_summary.notes(context_of(tmp_path, "internvl2-2b-ascend")))
    assert "uncalibrated" in notes
    assert "first estimates" in notes
    assert "PYTORCH_NPU_ALLOC_CONF" in notes
    demoted = run_summary.notes(attached(tmp_path, vlm_set=["capability.report_only=[ocr, chinese]"]))
    assert any("ocr, chinese" in note for note in demoted)


def test_lowered_bars_are_named_with_those_of_new_questions_last(tmp_path: Path) -> None:
    recorded = "capability.recorded={conversations: 8, long_prompts-1024: 7, ocr/sign: 5, chinese/sign: 8}"
    notes = "\n".join(run_summary.notes(attached(tmp_path, vlm_set=["capability.min_correct=6", recorded])))
    new = "conversations 8 of 8 (bar 3), long_prompts-1024 7 of 8 (bar 1)"
    assert f"bars lowered by the calibration, which saw: ocr/sign 5 of 8 (bar 3), {new}" in notes


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


def test_the_seed_is_in_every_report(tmp_path: Path) -> None:
    context = attached(tmp_path, vlm_seed="4711")
    context.record.results, context.record.new_pictures = [result("health", Outcome.PASSED)], 7
    lines = outputs.write_run(context, ACCEPTED)
    assert "  seed: repeat with --vlm-seed=4711" in lines
    assert "  new pictures: 7 of 8 right" in lines
    assert json.loads((tmp_path / "latest" / "summary.json").read_text("utf-8"))["scope"]["seed"] == 4711
    assert run_summary.known_before(context)["seed"] == "4711"
    assert "4711" in (tmp_path / "latest" / "report.html").read_text("utf-8")
    assert "seed: 4711" in outputs.header(context)


def test_the_header_names_the_present_name_of_a_former_key(tmp_path: Path) -> None:
    header = outputs.header(attached(tmp_path, vlm_set=["capability.demoted=[ocr]"]))
    assert [line for line in header if line.startswith("note: --vlm-set: the key 'capability.demoted' is now")]


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
    row = (PROFILES.parent / "baselines" / "control.jsonl").read_text("utf-8").splitlines()[1]
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text(row.replace("sign-1.png", "sign-99.png"), "utf-8")
    with pytest.raises(UsageProblem, match="'ocr/sign-1' names the picture 'ocr/sign-99.png'"):
        attached(tmp_path, vlm_baseline=str(foreign)).inputs.check(str)


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
    assert "known issue, in 2 test(s): a-500 (an issue; vllm ==0.18.*; read)" in notes
