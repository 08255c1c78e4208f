"""`re-score`: a stored run is scored again without a server, and gives the metrics that the run gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import made_accuracy as made
from tests.support.made_run import answered, failed
from tests.support.runs import ROOT, clean_env

from vlm_acceptance.accuracy import report as accuracy_report
from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.mmmu.__main__ import main
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog, QuestionPass

MINI = ROOT / "fixtures" / "mmmu_mini"
METRICS = ("complete", "total", "kinds", "domains", "subjects", "scorers", "shape", "letters", "tokens", "failures")


def control_answers() -> dict[str, str]:
    rows = map(json.loads, (MINI / "expected.jsonl").read_text("utf-8").splitlines())
    return {row["id"]: row["answer"] for row in rows}


def run_of(folder: Path, changes: dict[str, Answer] | None = None) -> AccuracyResult:
    """A run over the mini set with the answers of the control, stored in `folder`."""
    folder.mkdir()
    limits = {"min_correct": 1, "max_correct": 120, "data": str(MINI / "prepared"), "dataset": "mmmu_mini"}
    plan = accuracy.plan(made.profile(limits))
    log = AnswerLog(plan, folder, str, lambda _: None, lambda _: None)
    log.open({"engine": "server"}, None, folder)
    answers = {ident: answered(ident, text) for ident, text in control_answers().items()} | (changes or {})
    with QuestionPass(log) as part:
        for ident in plan.order:
            part.add(answers[ident])
    return part.result(counted={}, blank_answers={}, span_s=5.0, by_server=True, repeat="ask")


def report_of(run: AccuracyResult) -> dict[str, Any]:
    """What the run itself writes."""
    about = accuracy_report.about(run.plan, "cpu", {}, "m", {})
    report: dict[str, Any] = json.loads(json.dumps(accuracy_report.describe(run, about), default=str))
    return report


def rescored(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main(["re-score", *map(str, args)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def problem(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    """Exit code and the one line of a refusal."""
    code, out, err = rescored(capsys, *args)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return code, err


def test_the_report_of_a_run_says_of_each_answered_question_whether_it_is_right(tmp_path: Path) -> None:
    ident = next(iter(control_answers()))
    ours = report_of(run_of(tmp_path / "run", {ident: failed(ident, "lost", "timeout: late")}))
    right = ours["by_question"]
    assert ident not in right
    assert (sum(right.values()), len(right)) == (ours["total"]["right"], ours["total"]["answered"])


def test_a_stored_run_gives_the_metrics_that_the_run_gave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ident = next(iter(control_answers()))
    run = run_of(tmp_path / "run", {ident: failed(ident, "lost", "timeout: late")})
    ours = report_of(run)
    code, out, _ = rescored(capsys, run.file.parent, "--json", tmp_path / "out.json")
    assert code == 0
    again = json.loads((tmp_path / "out.json").read_text("utf-8"))
    for name in ("dataset", "data_sha256", "protocol", "prompts_sha256", "model", "scorer", *METRICS):
        assert again[name] == ours[name], name
    assert again["statistics"]["wilson_95"] == ours["statistics"]["wilson_95"]
    assert again["total"]["lost"] == 1
    assert again["total"]["right"] == run.right
    assert f"mmmu_mini {run.right}/119" in out


def test_the_command_runs_by_itself_without_a_server(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    argv = [sys.executable, "-m", "vlm_acceptance.accuracy.mmmu", "re-score", str(run.file)]
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"mmmu_mini {run.right}/120")
    for name, right in run.right_by_scorer.items():
        assert any(line.split()[:1] == [name] and f"{right}/120" in line for line in done.stdout.splitlines()), name


@pytest.mark.parametrize("scorer", sorted(SCORERS))
def test_any_scorer_may_make_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], scorer: str) -> None:
    run = run_of(tmp_path / "run")
    _, out, _ = rescored(capsys, run.file.parent, "--scorer", scorer)
    assert out.startswith(f"mmmu_mini {run.right_by_scorer[scorer]}/120")
    assert f"scorer {scorer}" in out.partition("\n")[0]


def test_changed_answers_change_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run_of(tmp_path / "whole")
    changes = {ident: answered(ident, "?") for ident in whole.plan.order[:40]}
    changed = run_of(tmp_path / "changed", changes)
    assert changed.right < whole.right
    _, out, _ = rescored(capsys, changed.file)
    assert out.startswith(f"mmmu_mini {changed.right}/120")


def test_a_run_is_compared_with_a_stored_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = run_of(tmp_path / "before")
    good = [ident for ident, score in before.deciding_scores.items() if score.right][:3]
    now = run_of(tmp_path / "now", {ident: answered(ident, "?") for ident in good})
    code, out, _ = rescored(capsys, now.file, "--baseline", before.file, "--json", tmp_path / "out.json")
    seen = json.loads((tmp_path / "out.json").read_text("utf-8"))["comparison"]
    assert code == 0
    lost = [row["id"] for row in seen["lost"]]
    assert (sorted(lost), seen["gained"], seen["unmatched"]) == (sorted(good), [], [])
    assert {row["now"] for row in seen["lost"]} == {"?"}
    assert seen["both"] + seen["neither"] == 117
    assert seen["p"] == pytest.approx(1 / 8)
    paired = now.compared_with(before.file)
    assert (seen["p"], seen["interval_95"]) == (paired.p, list(paired.interval))
    assert "compared with the stored run" in out
    assert all(ident in out for ident in good)


def test_a_baseline_of_other_questions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"id": "x", "answer": "A"}\n', "utf-8")
    code, message = problem(capsys, run.file, "--baseline", foreign)
    assert code == 4
    assert "foreign.jsonl" in message


def test_other_data_than_those_of_the_run_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    others = made.prepared(tmp_path / "others")
    code, message = problem(capsys, run.file, "--data", others.folder)
    assert code == 4
    for words in ("--data", "others", others.sha256[:16], run.plan.prepared.sha256[:16], "mmmu_mini"):
        assert words in message


def test_data_that_are_not_found_are_named_with_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    text = run.file.read_text("utf-8").replace(run.plan.prepared.sha256, "0" * 64)
    run.file.write_text(text, "utf-8")
    code, message = problem(capsys, run.file)
    assert code == 4
    assert "mmmu_mini" in message
    assert "give --data" in message


def test_a_folder_without_data_is_refused_with_the_command_that_prepares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "run")
    code, message = problem(capsys, run.file, "--data", tmp_path)
    assert code == 10
    assert "prepare" in message


def test_a_path_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    code, message = problem(capsys, tmp_path / "empty")
    assert code == 4
    assert "it has no mmmu_val.jsonl" in message
    assert problem(capsys, tmp_path / "none")[0] == 4
    text = tmp_path / "text.jsonl"
    text.write_text('{"id": "x"}\n', "utf-8")
    assert "not an answers file" in problem(capsys, text)[1]


def test_files_that_cannot_be_read_or_written_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    code, message = problem(capsys, run.file, "--json", tmp_path / "none" / "out.json")
    assert (code, "--json" in message) == (4, True)
    code, message = problem(capsys, run.file, "--baseline", tmp_path / "none.jsonl")
    assert (code, "--baseline" in message) == (4, True)
    code, message = problem(capsys, run.file, "--scorer", "vlmevalkit")
    assert (code, "vlmevalkit_2024_07" in message) == (4, True)


@pytest.mark.parametrize(
    "identity",
    [
        {"data": "abc"},
        {"data": {}},
        {"prompts": ["x"]},
        {"prompts": {"protocol": {"a": 1}}},
        {"profile": "made"},
        {"profile": {"model": 3}},
        {"target": ["server"]},
        {"target": {"engine": {"a": [1]}}},
    ],
)
def test_an_identity_of_another_form_is_never_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], identity: dict[str, object]
) -> None:
    run = run_of(tmp_path / "run")
    first, _, rest = run.file.read_text("utf-8").partition("\n")
    changed = {**json.loads(first)["identity"], **identity}
    run.file.write_text(json.dumps({"identity": changed}) + "\n" + rest, "utf-8")
    code, out, err = rescored(capsys, run.file)
    assert (code, err.count("\n")) in ((0, 0), (4, 1))
    assert out == "" or out.startswith("mmmu_mini ")
    for key in ("data", "prompts", "profile", "target"):
        changed.pop(key)
    run.file.write_text(json.dumps({"identity": changed}) + "\n" + rest, "utf-8")
    assert problem(capsys, run.file)[0] == 4
    assert problem(capsys, run.file, "--data", MINI / "prepared")[0] == 4


def test_a_comparison_reports_which_loss_is_ruled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    _, out, _ = rescored(capsys, run.file, "--baseline", run.file, "--json", tmp_path / "out.json")
    seen = json.loads((tmp_path / "out.json").read_text("utf-8"))["comparison"]
    assert (seen["margin"], seen["margin_ruled_out"]) == (0.02, seen["interval_95"][0] > -0.02)
    assert "margin_ruled_out" in out


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["--scorer", "vlmevalkit_2024"], "Did you mean 'vlmevalkit_2024_07'?"),
        (["--scorer=oficial_strict"], "Did you mean 'official_strict'?"),
        (["--basline=x"], "Did you mean '--baseline'?"),
        (["--scorer", "zzz"], ""),
        (["--scorer"], ""),
        (["--jsn=x,"], "Did you mean '--json'?"),
    ],
)
def test_a_hint_is_the_nearest_option_or_choice_or_none(
    capsys: pytest.CaptureFixture[str], args: list[str], hint: str
) -> None:
    code, message = problem(capsys, "run", *args)
    assert code == 4
    assert message.count("Did you mean") == bool(hint)
    assert hint in message


def test_an_incomplete_last_line_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    os.truncate(run.file, run.file.stat().st_size - 10)
    _, out, _ = rescored(capsys, run.file)
    assert "/119 " in out.partition("\n")[0]
    assert "1 not asked" in out.partition("\n")[0]


def test_hostile_answers_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ident = next(iter(control_answers()))
    run = run_of(tmp_path / "run", {ident: replace(failed(ident, "refused", "\x1b[2J\u202e"), text=None)})
    _, out, _ = rescored(capsys, run.file)
    assert "\x1b" not in out
    assert "\u202e" not in out
