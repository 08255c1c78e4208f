"""The offline batch with a stand-in for the engine's interpreter: its answers, or one reason why there are none."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.deployment.offline import OfflineRun, run_offline
from vlm_acceptance.deployment.process import marked_processes, run_mark
from vlm_acceptance.errors import EngineFailure, EnvironmentProblem, HarnessProblem
from vlm_acceptance.profile import Profile

ANSWER = {"id": "ocr-1", "text": "GATE 7", "finish_reason": "stop", "prompt_tokens": 19, "completion_tokens": 3}
ANSWERS = {"answers": [ANSWER], "ready_s": 4.5, "batch_s": 1.5, "vllm": "0.18.0"}
REQUESTS = [{"id": "ocr-1", "messages": [{"role": "user", "content": "What does it say?"}], "max_tokens": 8}]

Offline = Callable[..., OfflineRun]


@pytest.fixture
def offline(tmp_path: Path):
    """Run a batch with a shell script in the place of the interpreter: `$2` is the job, `$3` the answers' file."""
    mark = f"{run_mark()}-{tmp_path.name}"

    def run(
        script: str,
        timeout_s: float = 30,
        stop_s: float = 5,
        progress: Callable[[str], None] = lambda _: None,
        first_line: str = "#!/bin/sh",
    ) -> OfflineRun:
        python = tmp_path / "python"
        python.write_text(f"{first_line}\n{script}\n")
        python.chmod(0o755)
        profile = Profile.model_validate(
            {
                "name": "p",
                "model": {"id": "m"},
                "engine": {"stop_timeout_s": stop_s},
                "offline": {"timeout_s": timeout_s},
            }
        )
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
    assert time.monotonic() - began < 5


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
