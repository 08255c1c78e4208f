"""The guard of a supervisor: whichever of suite, supervisor and guard are killed or stopped, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.owners import nothing_left, started_owner
from tests.support.runs import eventually
from tests.support.supervisors import PYTHON, alive, job_line, word_of

from vlm_acceptance.engine.process import GUARD, SUPERVISOR

ENDS_WITHIN_S = 10.0
# like an EngineCore: a session of its own, no tag in its environment, and it ignores SIGTERM
LOOP = "trap '' TERM; while :; do sleep 1; : {word}; done"
TREE = f'setsid env -i sh -c "{LOOP}" & {LOOP}'
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files of this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def owner(tmp_path: Path, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A suite with an engine of two processes, its tag, and a word of the engine's command lines."""
    word = word_of(tmp_path)
    process, tag = started_owner(tmp_path, temporary, "holds", "sh", "-c", TREE.format(word=word))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    assert eventually(lambda: len(engine_of(word, process)) == 2)
    yield process, tag, word
    process.kill()
    process.wait()
    process.stdout.close()


def engine_of(word: str, owner: subprocess.Popen[str]) -> list[int]:
    """Living processes of the engine; the command line of the suite holds the word too."""
    return [pid for pid in alive(word) if pid != owner.pid]


def one_of(owner: subprocess.Popen[str], script: Path) -> psutil.Process:
    """The guard or the supervisor of a suite."""
    (found,) = (one for one in psutil.Process(owner.pid).children(recursive=True) if str(script) in one.cmdline())
    return found


def deliver(owner: subprocess.Popen[str], death: list[tuple[int, str]]) -> None:
    """Send each signal; the processes are looked up before the first."""
    pids = {"suite": owner.pid, "guard": one_of(owner, GUARD).pid, "supervisor": one_of(owner, SUPERVISOR).pid}
    for number, victim in death:
        os.kill(pids[victim], number)


@pytest.mark.parametrize(
    "death",
    [
        [(KILL, "suite")],
        [(KILL, "suite"), (KILL, "supervisor")],
        [(KILL, "supervisor"), (KILL, "suite")],
        [(KILL, "suite"), (KILL, "guard")],
        [(KILL, "guard"), (KILL, "suite")],
        [(STOP, "supervisor"), (KILL, "suite")],
        [(STOP, "guard"), (KILL, "suite")],
        [(STOP, "supervisor"), (STOP, "guard"), (KILL, "suite")],
        [(STOP, "supervisor"), (KILL, "guard"), (KILL, "suite")],
        [(STOP, "guard"), (KILL, "supervisor"), (KILL, "suite")],
        [(KILL, "suite"), (STOP, "supervisor")],
    ],
    ids=lambda death: ", ".join(f"{number.name} {victim}" for number, victim in death),
)
def test_nothing_is_left_after_the_death_of_the_suite(owner, temporary, death):
    process, tag, word = owner
    deliver(process, death)
    process.wait()
    assert eventually(lambda: not alive(word) and nothing_left(tag, temporary), ENDS_WITHIN_S)


@pytest.mark.parametrize(
    "death",
    [
        [(KILL, "supervisor")],
        [(KILL, "guard")],
        [(STOP, "suite"), (KILL, "supervisor")],
        [(STOP, "suite"), (KILL, "guard")],
        [(STOP, "supervisor"), (KILL, "guard")],
    ],
    ids=lambda death: ", ".join(f"{number.name} {victim}" for number, victim in death),
)
def test_the_engine_ends_with_either_of_its_watchers_while_the_suite_lives(owner, temporary, death):
    process, _, word = owner
    deliver(process, death)
    assert eventually(lambda: not engine_of(word, process) and not list(temporary.iterdir()), ENDS_WITHIN_S)
    assert process.poll() is None


def test_files_of_the_job_and_the_folder_are_removed_without_the_supervisor(tmp_path, temporary):
    word, big, scratch = word_of(tmp_path), tmp_path / "job.json", temporary / "vlma-test"
    big.write_text("{}")
    argv = [
        sys.executable,
        "-I",
        "-S",
        str(GUARD),
        str(os.getpid()),
        str(scratch),
        str(big),
        str(tmp_path / "never-there"),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as guard:
        assert guard.stdin is not None
        line = job_line(tmp_path, PYTHON, "-c", f"import time; time.sleep(300); '{word}'", scratch=str(scratch))
        guard.stdin.write(line.encode())
        guard.stdin.flush()
        assert eventually(lambda: bool(alive(word)) and scratch.is_dir())
        one_of(guard, SUPERVISOR).kill()
        guard.wait(10)
    assert not alive(word)
    assert not scratch.exists()
    assert not big.exists()


def test_a_guard_whose_suite_died_before_it_starts_nothing(tmp_path, temporary):
    argv = [sys.executable, "-I", "-S", str(GUARD), "1", str(temporary / "vlma-test")]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_grace_of_an_engine_is_kept_when_the_guard_is_asked_to_end(tmp_path, temporary):
    note = tmp_path / "orderly"
    ends = f"signal.signal(15, lambda *_: (open('{note}', 'w').close(), sys.exit()))"
    ends = f"import signal, sys, time; {ends}; print('ready', flush=True); time.sleep(300)"
    process, tag = started_owner(tmp_path, temporary, "holds", PYTHON, "-c", ends)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        assert eventually(lambda: "ready" in (tmp_path / "engine.log").read_text())
        one_of(process, GUARD).terminate()
        assert eventually(note.exists, ENDS_WITHIN_S)
        process.kill()
    assert eventually(lambda: nothing_left(tag, temporary), ENDS_WITHIN_S)
