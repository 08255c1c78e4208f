"""The log of an engine that knows a secret: masked in the file while it is written, judged as the engine wrote it."""

from __future__ import annotations

import base64
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.owners import nothing_left, started_owner
from tests.support.runs import eventually

from vlm_acceptance.core import masking
from vlm_acceptance.engine import process as processes
from vlm_acceptance.engine import supervisor
from vlm_acceptance.engine.process import SupervisedProcess, run_tag

KEY = "sk-Quite_secret/0123456789+abcdef"
Starter = Callable[..., SupervisedProcess]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Starter]:
    """Started processes that know the key, ended after the test."""
    made: list[SupervisedProcess] = []

    def start(script: str, key: str = KEY, name: str = "VLLM_API_KEY") -> SupervisedProcess:
        script = f"import os, sys, time\nkey = os.environ['{name}']\n{script}"
        env = {**os.environ, name: key}
        made.append(SupervisedProcess([sys.executable, "-uc", script], env, tmp_path / "engine.log", run_tag()))
        made[-1].start()
        return made[-1]

    yield start
    for process in made:
        process.stop(0)


def written(process: SupervisedProcess) -> str:
    return process.log.read_text("utf-8", "replace")


def test_the_file_is_masked_while_the_engine_runs_and_the_text_to_judge_is_not(kept: Starter) -> None:
    process = kept("print('the key is', key, flush=True); time.sleep(300)")
    assert eventually(lambda: written(process) == "the key is [masked]\n", 10)
    assert not process.has_exited
    assert process.log_text() == f"the key is {KEY}\n"
    assert process.last_line() == f"the key is {KEY}"


def test_everything_is_in_the_file_when_the_exit_is_seen(kept: Starter) -> None:
    process = kept("for n in range(20_000): print(n, key)\nsys.stdout.write('no line end s')")
    assert process.wait(60) == 0
    lines = written(process).split("\n")
    assert lines[-1] == "no line end s"
    assert lines[:-1] == [f"{n} [masked]" for n in range(20_000)]
    assert process.log_text().count(KEY) == 20_000


@pytest.mark.parametrize("at", [1, 3, 8, 17, 30])
@pytest.mark.parametrize("between", ["", "\\n", "\\n(EngineCore pid=7) INFO 11-29 15:30:02 [core.py:3] "])
def test_a_key_split_over_two_writes_or_lines_is_masked(kept: Starter, at: int, between: str) -> None:
    process = kept(
        f"w = lambda t: (sys.stdout.write(t), sys.stdout.flush(), time.sleep(0.05))\n"
        f"w('a ' + key[:{at}]); w('{between}'); w(key[{at}:] + ' z\\n')"
    )
    assert process.wait(30) == 0
    assert written(process) == "a [masked] z\n"


def test_encodings_of_the_key_are_masked(kept: Starter) -> None:
    process = kept(
        "import base64, urllib.parse\n"
        "for text in (key.upper(), key.encode().hex(), urllib.parse.quote(key, safe='')): print('<' + text + '>')\n"
        "for n in range(3): print(base64.b64encode(b'xyz'[:n] + key.encode()).decode())"
    )
    assert process.wait(30) == 0
    text = written(process)
    assert text.splitlines()[:3] == ["<[masked]>"] * 3
    assert not any(base64.b64encode(b"xyz"[:n] + KEY.encode())[4:-4].decode() in text for n in range(3))


def test_every_key_leaves_bytes_that_are_not_text_alone(kept: Starter) -> None:
    process = kept("sys.stdout.buffer.write(b'\\xff\\xfe 1 \\xc3'); sys.stdout.flush(); time.sleep(0.5)", key="1")
    assert process.wait(30) == 0
    assert process.log.read_bytes() == b"\xff\xfe [masked] \xc3"


def test_what_may_be_the_beginning_of_a_key_is_written_when_nothing_follows(kept: Starter) -> None:
    process = kept("print('ends with s', flush=True); time.sleep(300)")
    assert eventually(lambda: written(process) == "ends with s\n", 10)


def test_other_secrets_of_the_environment_are_masked_too(kept: Starter) -> None:
    process = kept("print(key)", name="HF_TOKEN", key="hf_abcdefghijkl")
    assert process.wait(30) == 0
    assert written(process) == "[masked]\n"


def test_a_log_that_floods_is_cut_in_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 4000)
    monkeypatch.setattr(supervisor, "LOG_END_BYTES", 1000)
    with tempfile.TemporaryFile() as raw:
        mask = {"module": masking.__file__, "secrets": [KEY]}
        log = supervisor.Log({"log": str(tmp_path / "engine.log"), "raw": raw.fileno(), "mask": mask})
        os.write(log.writer, b"first\n" + b"x" * 99 + b"\n")
        for number in range(100):
            os.write(log.writer, f"{number} {KEY} {'x' * 50}\n".encode())
            log.take()
            log.cut()
        log.started()
        log.finish()
        texts = [(tmp_path / "engine.log").read_text("utf-8"), os.pread(raw.fileno(), 10_000, 0).decode()]
    for text, shown in zip(texts, ("[masked]", KEY), strict=True):
        assert text.startswith("first\nxxx")
        assert len(text) <= 4000
        assert "bytes of this log were left out here]" in text
        assert text.endswith(f"99 {shown} {'x' * 50}\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_suite_that_is_killed_leaves_a_masked_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = "import os, time\nwhile True: print('key', os.environ['VLLM_API_KEY'], flush=True); time.sleep(0.01)"
    process, tag = started_owner(tmp_path, temporary, "holds", sys.executable, "-c", script)
    with process:
        log = tmp_path / "engine.log"
        assert eventually(lambda: log.is_file() and "[masked]" in log.read_text("utf-8"))
        process.send_signal(number)
    assert eventually(lambda: nothing_left(tag, temporary))
    text = log.read_text("utf-8")
    assert "secret" not in text
    assert set(text.splitlines()) <= {"key [masked]", "key ", "key", ""}


def test_an_engine_without_a_secret_writes_its_log_itself(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    process = SupervisedProcess(["readlink", "/proc/self/fd/1"], env, tmp_path / "engine.log", run_tag())
    process.start()
    assert process.wait(10) == 0
    process.stop(1)
    assert process.log_text() == f"{tmp_path / 'engine.log'}\n"
    assert processes.secrets_in(env) == []
