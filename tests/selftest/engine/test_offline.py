"""The offline batch with a stand-in for the engine's interpreter: its answers, or one reason why there are none."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, HarnessProblem
from vlm_acceptance.engine.offline import OfflineRows, OfflineRun, run_offline, run_offline_rows
from vlm_acceptance.engine.process import marked_processes, run_tag

ANSWER = {"id": "ocr-1", "text": "GATE 7", "finish_reason": "stop", "prompt_tokens": 19, "completion_tokens": 3}
ANSWERS = {"answers": [ANSWER], "ready_s": 4.5, "batch_s": 1.5, "vllm": "0.18.0"}
REQUESTS = [{"id": "ocr-1", "messages": [{"role": "user", "content": "What does it say?"}], "max_tokens": 8}]

Offline = Callable[..., OfflineRun]
Rows = Callable[..., OfflineRows]


def stand_in(place: Path, script: str, first_line: str = "#!/bin/sh") -> Path:
    """A shell script in the place of the interpreter: `$2` is the job, `$3` the answers' file."""
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
    mark = f"{run_tag()}-{tmp_path.name}"

    def run(
        script: str,
        timeout_s: float = 30,
        stop_s: float = 5,
        progress: Callable[[str], None] = lambda _: None,
        first_line: str = "#!/bin/sh",
    ) -> OfflineRun:
        python, profile = stand_in(tmp_path, script, first_line), profile_of(timeout_s, stop_s)
        place = tmp_path / "run"
        return run_offline(profile, python, "vllm", Path("/m"), REQUESTS, os.environ, place, mark, progress)

    yield run
    assert marked_processes(mark) == []
    assert not (tmp_path / "run" / "offline-job.json").exists()


def writes(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return f"cat > \"$3\" <<'END'\n{text}\nEND"


def test_answers_come_back_by_request_with_their_usage(offline):
    run = offline(writes(ANSWERS))
    reply = run.replies["ocr-1"]
    assert (reply.text, reply.finish_reason, reply.usage.prompt, reply.usage.total) == ("GATE 7", "stop", 19, 22)
    assert (run.ready_s, run.batch_s) == (4.5, 1.5)
    assert run.ending.on_request
    assert run.ending.code == 0


def test_worker_is_given_a_job_it_can_read(offline, tmp_path):
    offline(f"cp \"$2\" '{tmp_path}/seen.json'\n{writes(ANSWERS)}")
    job = json.loads((tmp_path / "seen.json").read_text())
    assert job["requests"] == REQUESTS
    assert job["llm"]["model"] == "/m"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ValueError: no such architecture' >&2; exit 1", r"\(exit code 1\).*\n    ValueError: no such arch"),
        ("kill -9 $$", r"\(signal 9\)"),
        ("exit 0", r"without answers \(exit code 0\)"),
        (writes(ANSWERS) + "\nexit 3", r"\(exit code 3\)"),
    ],
)
def test_engine_that_gives_no_answers_has_failed(offline, script, says):
    with pytest.raises(EngineFailure, match=says) as raised:
        offline(script)
    assert "offline.log" in str(raised.value)


def test_answers_of_an_earlier_run_are_not_taken_for_new_ones(offline):
    offline(writes(ANSWERS))
    with pytest.raises(EngineFailure, match="without answers"):
        offline("exit 0")


def test_engine_that_hangs_is_ended_at_its_deadline(offline):
    began = time.monotonic()
    with pytest.raises(EngineFailure, match=r"did not finish within 0.5 s"):
        offline("exec sleep 300", timeout_s=0.5)
    assert time.monotonic() - began < 30


def test_deaf_engine_that_hangs_is_killed_at_its_deadline(offline):
    with pytest.raises(EngineFailure, match="did not finish"):
        offline("trap '' TERM; while :; do sleep 0.1; done", timeout_s=0.5, stop_s=0.3)


def test_machines_fault_is_an_environment_problem(offline):
    with pytest.raises(EnvironmentProblem, match="mount /usr/local/Ascend/driver"):
        offline("echo 'ImportError: libascend_hal.so: cannot open shared object file' >&2; exit 1")


def test_interpreter_that_cannot_be_executed_is_an_environment_problem(offline):
    with pytest.raises(EnvironmentProblem, match="cannot be started"):
        offline("", first_line="#!/no/such/shell")


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        '{"answers": [',
        "[]",
        {"answers": None},
        {**ANSWERS, "answers": [{"id": "ocr-1"}]},
        {**ANSWERS, "answers": [{**ANSWER, "prompt_tokens": None}]},
        {"answers": [ANSWER]},
        {**ANSWERS, "ready_s": "soon"},
    ],
)
def test_answers_that_cannot_be_read_are_our_own_problem(offline, garbage):
    with pytest.raises(HarnessProblem, match=r"offline-answers\.json is not what the offline worker writes"):
        offline(writes(garbage))


def test_answer_that_is_missing_is_missing(offline):
    assert offline(writes({**ANSWERS, "answers": []})).replies == {}


def test_progress_shows_the_last_line_of_the_log(offline):
    said: list[str] = []
    with pytest.raises(EngineFailure):
        offline("echo loading the weights; exec sleep 300", timeout_s=1.2, progress=said.append)
    assert any("loading the weights" in line for line in said)


def test_interrupt_while_the_batch_runs_leaves_nothing(offline):
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline("exec sleep 300", progress=interrupt)


ROW = {"id": "q1", "text": "B", "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 1}
ROW |= {"started_utc": "2026-11-22T20:00:00+00:00", "elapsed_s": 0.5}
HEAD, END = {"ready_s": 4.5, "vllm": "0.18.0"}, {"batch_s": 1.5}


def appends(*rows: object) -> str:
    lines = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return f"cat >> \"$3\" <<'END'\n{lines}\nEND\n"


@pytest.fixture
def in_chunks(tmp_path: Path):
    """Run a job in chunks with a stand-in for the interpreter; rows are put into `got`."""
    mark = f"{run_tag()}-{tmp_path.name}"

    def run(script: str, got: list[str], count: int = 2, timeout_s: float = 30, **more: Callable) -> OfflineRows:
        requests = [{"id": f"q{n + 1}", "messages": [], "sampling": {"max_tokens": 8}} for n in range(count)]
        options = {"progress": lambda _: None, "on_row": lambda row: got.append(row["id"]), **more}
        return run_offline_rows(
            profile_of(30, 5),
            stand_in(tmp_path, script),
            "vllm",
            Path("/m"),
            requests,
            os.environ,
            tmp_path / "run",
            mark,
            name="offline-mmmu",
            chunk=1,
            timeout_s=timeout_s,
            **options,
        )

    yield run
    assert marked_processes(mark) == []
    assert not (tmp_path / "run" / "offline-mmmu-job.json").exists()
    assert not (tmp_path / "run" / "offline-mmmu-answers.jsonl").exists()


def test_rows_are_handed_over_in_the_order_answered(in_chunks: Rows) -> None:
    got: list[str] = []
    rows = in_chunks(appends(HEAD, {**ROW, "id": "q2"}, ROW, END), got)
    assert got == ["q2", "q1"]
    assert (rows.rows, rows.whole, rows.ready_s) == (2, True, 4.5)


def test_rows_are_handed_over_while_the_engine_still_runs(in_chunks: Rows, tmp_path: Path) -> None:
    got: list[str] = []

    def seen(row: dict) -> None:
        got.append(row["id"])
        (tmp_path / row["id"]).touch()

    # the second half of the line, and all that follows, comes when the first row was seen
    whole = json.dumps({**ROW, "id": "q2"})
    wait = f"until [ -e '{tmp_path}/q1' ]; do sleep 0.05; done\n"
    script = appends(HEAD, ROW) + f"printf '%s' '{whole[:30]}' >> \"$3\"\n" + wait + appends(whole[30:], END)
    assert in_chunks(script, got, on_row=seen).whole
    assert got == ["q1", "q2"]


@pytest.mark.parametrize(
    "script", ["kill -9 $$", "exit 3", "exit 0", appends(END), appends({**ROW, "id": "q2"}, END) + "exit 1"]
)
def test_rows_of_an_engine_that_died_are_kept_and_its_death_is_said(in_chunks: Rows, script: str) -> None:
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
    rows = in_chunks(appends(HEAD, ROW) + "exec sleep 300", got, should_stop=lambda: bool(got))
    assert (got, rows.whole, rows.rows) == (["q1"], False, 1)


def test_picture_that_was_changed_is_an_environment_problem(in_chunks: Rows) -> None:
    with pytest.raises(EnvironmentProblem, match="differs from what was prepared: prepare the data again"):
        in_chunks(appends(HEAD, {"problem": "x.png differs from what was prepared"}) + "exit 1", [])


@pytest.mark.parametrize("line", ["no JSON", "[]", "{}", "3"])
def test_row_that_cannot_be_read_is_our_own_problem(in_chunks: Rows, line: str) -> None:
    with pytest.raises(HarnessProblem, match="is not what the offline worker writes"):
        in_chunks(appends(HEAD, line, END), [])


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
