"""Jobs of the offline engine with a stand-in for its interpreter: rows, or one reason why they are missing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, HarnessProblem
from vlm_acceptance.engine.offline import (
    OfflineEnd,
    OfflineEngine,
    OfflineJob,
    OfflineRun,
    run_offline,
    run_offline_rows,
)
from vlm_acceptance.engine.process import run_tag, tagged_processes

HEAD, END = {"ready_s": 4.5, "vllm": "0.18.0"}, {"batch_s": 1.5}
ROW = {"id": "q1", "text": "B", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 1}
ROW |= {"started_utc": "2026-11-22T20:00:00+00:00", "elapsed_s": 0.5}
ANSWER = {**ROW, "id": "ocr-1", "text": "GATE 7", "prompt_tokens": 19, "completion_tokens": 3}
ANSWERS = (HEAD, ANSWER, END)
REQUESTS = [{"id": "ocr-1", "messages": [{"role": "user", "content": "写的是什么?"}], "max_tokens": 8}]

Offline = Callable[..., OfflineRun]
Rows = Callable[..., OfflineEnd]


def stand_in(place: Path, script: str, first_line: str = "#!/bin/sh") -> Path:
    """A shell script in the place of the interpreter: `$2` is the job, `$3` the rows file."""
    python = place / "python"
    python.write_text(f"{first_line}\n{script}\n")
    python.chmod(0o755)
    return python


def profile_of(timeout_s: float, stop_s: float) -> Profile:
    return Profile.model_validate(
        {"name": "p", "model": {"id": "m"}, "engine": {"stop_timeout_s": stop_s}, "offline": {"timeout_s": timeout_s}}
    )


@pytest.fixture
def offline(tmp_path: Path):
    """Run a batch with a stand-in for the interpreter."""
    tag = f"{run_tag()}-{tmp_path.name}"

    def run(
        script: str,
        timeout_s: float = 30,
        stop_s: float = 5,
        progress: Callable[[str], None] = lambda _: None,
        first_line: str = "#!/bin/sh",
    ) -> OfflineRun:
        python, profile = stand_in(tmp_path, script, first_line), profile_of(timeout_s, stop_s)
        engine = OfflineEngine(profile, python, "vllm", Path("/m"), os.environ, tag, progress)
        return run_offline(engine, REQUESTS, tmp_path / "run")

    yield run
    assert tagged_processes(tag) == []
    assert not (tmp_path / "run" / "offline-job.json").exists()


def appends(*rows: object) -> str:
    lines = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return f"cat >> \"$3\" <<'END'\n{lines}\nEND\n"


def test_answers_come_back_by_request_with_their_usage(offline):
    run = offline(appends(*ANSWERS))
    reply = run.replies["ocr-1"]
    assert (reply.text, reply.finish_reason, reply.usage.prompt, reply.usage.total) == ("GATE 7", "stop", 19, 22)
    assert (run.ready_s, run.batch_s) == (4.5, 1.5)
    assert run.ending.on_request
    assert run.ending.code == 0


def test_worker_gets_a_job_with_every_request(offline, tmp_path):
    offline(f"cp \"$2\" '{tmp_path}/seen.json'\n{appends(*ANSWERS)}")
    job = json.loads((tmp_path / "seen.json").read_text())
    assert job["requests"] == REQUESTS
    assert job["llm"]["model"] == "/m"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ValueError: no such architecture' >&2; exit 1", r"\(exit code 1\).*\n    ValueError: no such arch"),
        ("kill -9 $$", r"\(signal 9\)"),
        ("exit 0", r"without answers \(exit code 0\)"),
        (appends(*ANSWERS) + "\nexit 3", r"\(exit code 3\)"),
    ],
)
def test_engine_that_gives_no_answers_has_failed(offline, script, says):
    with pytest.raises(EngineFailure, match=says) as raised:
        offline(script)
    assert "offline.log" in str(raised.value)


def test_answers_of_an_earlier_run_are_not_taken_for_new_ones(offline):
    offline(appends(*ANSWERS))
    with pytest.raises(EngineFailure, match="without answers"):
        offline("exit 0")


def test_engine_that_hangs_is_ended_at_its_deadline(offline):
    began = time.monotonic()
    with pytest.raises(EngineFailure, match=r"did not finish within 0.5 s"):
        offline("exec sleep 300", timeout_s=0.5)
    assert time.monotonic() - began < 30


def test_engine_that_ignores_sigterm_and_hangs_is_killed_at_its_deadline(offline):
    with pytest.raises(EngineFailure, match="did not finish"):
        offline("trap '' TERM; while :; do sleep 0.1; done", timeout_s=0.5, stop_s=0.3)


def test_fault_of_the_machine_is_an_environment_problem(offline):
    with pytest.raises(EnvironmentProblem, match="mount /usr/local/Ascend/driver"):
        offline("echo 'ImportError: libascend_hal.so: cannot open shared object file' >&2; exit 1")


def test_interpreter_that_cannot_be_executed_is_an_environment_problem(offline):
    with pytest.raises(EnvironmentProblem, match="cannot be started"):
        offline("", first_line="#!/no/such/shell")


@pytest.mark.parametrize(
    "garbage",
    [
        ["[]"],
        [{"answers": []}],
        [HEAD, {"id": "ocr-1"}, END],
        [HEAD, {**ANSWER, "id": "another"}, END],
        [HEAD, {**ANSWER, "prompt_tokens": None}, END],
        [HEAD, {**ANSWER, "tokens": [1], "top": [3]}, END],
        [{"ready_s": "soon"}, ANSWER, END],
        [{"ready_s": None}, ANSWER, END],
    ],
)
def test_rows_that_cannot_be_read_are_our_own_problem(offline, garbage):
    with pytest.raises(HarnessProblem, match=r"offline-answers\.jsonl is not in the format of the offline worker"):
        offline(appends(*garbage))


@pytest.mark.parametrize(
    "script",
    ["touch $3", appends(HEAD, END), appends(ANSWER), appends(HEAD, ANSWER) + "printf '{\"batch_s\": 1' >> $3"],
)
def test_answers_that_are_not_complete_are_a_failure(offline, script):
    with pytest.raises(EngineFailure, match=r"ended without answers \(exit code 0\)"):
        offline(script)


def test_request_that_the_engine_refuses_is_a_failure(offline):
    with pytest.raises(EngineFailure, match=r"refused ocr-1: ValueError: too long \(rows: .*offline-answers\.jsonl"):
        offline(appends(HEAD, {"id": "ocr-1", "error": "ValueError: too long"}, END))


def test_log_probabilities_are_given_where_the_row_has_them(offline):
    run = offline(appends(HEAD, {**ANSWER, "tokens": [7], "top": [{"7": -0.5}]}, END))
    assert (run.logprobs["ocr-1"].tokens, run.logprobs["ocr-1"].top) == ((7,), ({7: -0.5},))
    assert offline(appends(*ANSWERS)).logprobs == {}


def test_rows_stay_in_the_folder_of_the_run(offline, tmp_path):
    offline(appends(*ANSWERS))
    rows = (tmp_path / "run" / "offline-answers.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(row) for row in rows] == list(ANSWERS)


def test_progress_shows_the_last_line_of_the_log(offline):
    line = "(EngineCore pid=7) INFO 11-30 17:00:00 [cpu_worker.py:140] loading the weights"
    with pytest.raises(KeyboardInterrupt):
        offline(f"echo '{line}'; exec sleep 300", progress=stops_at("starts; loading the weights"))


def test_progress_before_the_first_line_of_the_log_is_not_empty(offline):
    shown: list[str] = []
    with pytest.raises(EngineFailure):
        offline("exec sleep 300", timeout_s=0.5, progress=shown.append)
    assert shown[0] == "starts; its log has no line yet"


def stops_at(wanted: str) -> Callable[[str], None]:
    """Ends the run when this state is shown; without it the run ends in another way, after its time-out."""

    def show(state: str) -> None:
        if state == wanted:
            raise KeyboardInterrupt

    return show


def test_interrupt_while_the_batch_runs_leaves_nothing(offline):
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline("exec sleep 300", progress=interrupt)


@pytest.fixture
def in_chunks(tmp_path: Path):
    """Run a job in chunks with a stand-in for the interpreter; rows are put into `got`."""
    tag = f"{run_tag()}-{tmp_path.name}"

    def run(script: str, got: list[str], count: int = 2, timeout_s: float = 30, **more: Callable) -> OfflineEnd:
        requests = [{"id": f"q{n + 1}", "messages": [], "sampling": {"max_tokens": 8}} for n in range(count)]
        progress = more.pop("progress", lambda _: None)
        options = {"on_row": lambda row: got.append(row["id"]), **more}
        python = stand_in(tmp_path, script)
        engine = OfflineEngine(profile_of(30, 5), python, "vllm", Path("/m"), os.environ, tag, progress)
        job = OfflineJob(requests, tmp_path / "run", "offline-mmmu", chunk=1, timeout_s=timeout_s)
        return run_offline_rows(engine, job, **options)

    yield run
    assert tagged_processes(tag) == []
    assert not (tmp_path / "run" / "offline-mmmu-job.json").exists()


def test_rows_are_passed_on_in_the_order_answered(in_chunks: Rows) -> None:
    got: list[str] = []
    rows = in_chunks(appends(HEAD, {**ROW, "id": "q2"}, ROW, END), got)
    assert got == ["q2", "q1"]
    assert (rows.rows, rows.is_complete, rows.ready_s, rows.batch_s) == (2, True, 4.5, 1.5)


def test_rows_are_passed_on_while_the_engine_still_runs(in_chunks: Rows, tmp_path: Path) -> None:
    got: list[str] = []

    def seen(row: dict) -> None:
        got.append(row["id"])
        (tmp_path / row["id"]).touch()

    # the second half of the line, and all that follows, comes when the first row was seen
    whole = json.dumps({**ROW, "id": "q2"})
    wait = f"until [ -e '{tmp_path}/q1' ]; do sleep 0.05; done\n"
    script = appends(HEAD, ROW) + f"printf '%s' '{whole[:30]}' >> \"$3\"\n" + wait + appends(whole[30:], END)
    assert in_chunks(script, got, on_row=seen).is_complete
    assert got == ["q1", "q2"]


@pytest.mark.parametrize(
    "script", ["kill -9 $$", "exit 3", "exit 0", appends(END), appends({**ROW, "id": "q2"}, END) + "exit 1"]
)
def test_rows_of_an_engine_that_died_are_kept_and_its_death_is_reported(in_chunks: Rows, script: str) -> None:
    got: list[str] = []
    with pytest.raises(EngineFailure, match="ended without answers"):
        in_chunks(appends(HEAD, ROW) + script, got)
    assert got[:1] == ["q1"]


def test_job_that_hangs_is_ended_at_its_own_deadline_and_its_rows_are_kept(in_chunks: Rows) -> None:
    got: list[str] = []
    with pytest.raises(EngineFailure, match=r"did not finish within 1.5 s"):
        in_chunks(appends(HEAD, ROW) + "exec sleep 300", got, timeout_s=1.5)
    assert got == ["q1"]


def test_early_stop_ends_the_engine_and_is_no_failure(in_chunks: Rows) -> None:
    got: list[str] = []
    rows = in_chunks(appends(HEAD, ROW) + "exec sleep 300", got, stop=lambda: bool(got))
    assert (got, rows.is_complete, rows.rows) == (["q1"], False, 1)


def test_picture_that_was_changed_is_an_environment_problem(in_chunks: Rows) -> None:
    with pytest.raises(EnvironmentProblem, match="differs from what was prepared: prepare the data again"):
        in_chunks(appends(HEAD, {"problem": "x.png differs from what was prepared"}) + "exit 1", [])


@pytest.mark.parametrize("line", ["no JSON", "[]", "{}", "3"])
def test_row_that_cannot_be_read_is_our_own_problem(in_chunks: Rows, line: str) -> None:
    with pytest.raises(HarnessProblem, match="is not in the format of the offline worker"):
        in_chunks(appends(HEAD, line, END), [])


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" + "0" * 400], ids=lambda text: text[:9])
def test_a_number_of_the_engine_that_is_none_is_its_failure(in_chunks: Rows, number: str) -> None:
    line = json.dumps({**ROW, "tokens": [5], "top": [{"5": "@"}]}).replace('"@"', number)
    with pytest.raises(EngineFailure, match=r"at \$\.top\[0\]\.5 is not a number of JSON"):
        in_chunks(appends(HEAD, line, END), [])


def test_progress_counts_the_answers(in_chunks: Rows) -> None:
    with pytest.raises(KeyboardInterrupt):
        in_chunks(f"{appends(HEAD, ROW)}exec sleep 300", [], progress=stops_at("1 of 2 answers"))


def test_answer_that_cannot_be_recorded_ends_the_engine(in_chunks: Rows) -> None:
    def full(_: object) -> None:
        raise EnvironmentProblem("the disk is full")

    with pytest.raises(EnvironmentProblem, match="disk is full"):
        in_chunks(appends(HEAD, ROW) + "exec sleep 300", [], on_row=full)


def test_interrupt_keeps_what_is_answered(in_chunks: Rows, tmp_path: Path) -> None:
    got: list[str] = []

    def interrupt(_: str) -> None:
        with (tmp_path / "run" / "offline-mmmu-answers.jsonl").open("a") as file:
            file.write(json.dumps(ROW) + "\n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_chunks("exec sleep 300", got, progress=interrupt)
    assert got == ["q1"]
