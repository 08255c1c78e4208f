"""A supervised process tree: whatever dies and when, nothing of it is left, and no other process is touched."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.owners import nothing_left, started_owner
from tests.support.runs import eventually

from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem
from vlm_acceptance.engine import process as processes
from vlm_acceptance.engine.process import SupervisedProcess, end_orphans, run_tag, tagged_processes

SLEEP = ("sleep", "300")
IGNORES_SIGTERM = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)")  # fmt: skip  # noqa: E501
OUTLIVES = ("sh", "-c", "setsid sleep 300 & echo up; exec sleep 300")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[..., SupervisedProcess]]:
    """Started processes, ended after the test."""
    made: list[SupervisedProcess] = []

    def start(*argv: str, log: Path = tmp_path / "engine.log", **env: str) -> SupervisedProcess:
        made.append(SupervisedProcess(argv, {**os.environ, **env}, log, run_tag()))
        made[-1].start()
        return made[-1]

    yield start
    for process in made:
        process.stop(0)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_exit_code_is_seen_once_the_engine_has_ended(kept):
    process = kept("sh", "-c", "exit 3")
    assert process.wait(10) == 3
    assert (process.has_exited, process.exit_code, process.how_it_ended) == (True, 3, "exit code 3")


def test_signal_that_ended_the_engine_is_named(kept):
    process = kept("sh", "-c", "kill -9 $$")
    assert process.wait(10) == -9
    assert process.how_it_ended == "signal 9"


def test_waiting_for_an_engine_that_runs_gives_up(kept):
    process = kept(*SLEEP)
    assert process.wait(0.1) is None
    assert not process.has_exited
    assert [p.pid for p in process.tree()] == [process.pid]


def test_stop_ends_the_tree_and_may_be_called_twice(kept):
    process = kept(*SLEEP)
    first = process.stop(5)
    assert (first.code, first.on_request, first.killed, first.left) == (-15, True, (), ())
    assert process.stop(5) is first
    assert process.has_exited
    assert process.exit_code == -15
    assert process.tree() == []


def test_stop_before_start_ends_nothing(tmp_path):
    process = SupervisedProcess(SLEEP, os.environ, tmp_path / "engine.log", run_tag())
    assert process.stop(1).killed == ()
    assert process.tree() == []


def test_engine_that_ignores_sigterm_is_killed_and_named(kept):
    process = kept(*IGNORES_SIGTERM)
    assert eventually(lambda: process.last_line() == "ready")
    ending = process.stop(0.2)
    assert not ending.on_request
    assert ending.code == -9
    assert "signal.SIG_IGN" in ending.killed[0]


@pytest.mark.parametrize("program", ["/no/such/engine", "/etc/passwd"])
def test_program_that_cannot_be_executed_is_an_environment_problem(kept, temporary, program):
    with pytest.raises(EnvironmentProblem, match=f"{program} cannot be started: .Errno"):
        kept(program)
    assert list(temporary.iterdir()) == []


def test_log_folder_that_cannot_be_made_is_a_harness_problem(kept, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessProblem, match="log .* cannot be written"):
        kept(*SLEEP, log=tmp_path / "file" / "engine.log")


def test_log_that_cannot_be_opened_is_a_harness_problem(kept, tmp_path):
    with pytest.raises(HarnessProblem, match="Is a directory"):
        kept(*SLEEP, log=tmp_path)


def test_full_disk_under_the_log_hangs_nothing(kept, tmp_path):
    (tmp_path / "full.log").symlink_to("/dev/full")
    process = kept("sh", "-c", "echo lost; exit 4", log=tmp_path / "full.log")
    assert process.wait(10) == 4
    assert process.log_text() == process.last_line() == ""


def test_huge_log_is_read_at_both_ends(kept, monkeypatch):
    monkeypatch.setattr(processes, "LOG_END_BYTES", 100)
    process = kept("sh", "-c", "echo first; seq 1 10000; echo last")
    process.wait(10)
    text = process.log_text()
    assert text.startswith("first\n1\n")
    assert text.endswith("\nlast\n")
    assert len(text) <= 201
    assert process.last_line() == "last"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("first\\nwhole\\nhalf a li", "whole"),
        ("first\\n\\n  \\n", "first"),
        ("10%%\\r20%%\\r30", "20%"),
        ("half", ""),
    ],
)
def test_last_line_of_a_running_engine_is_whole(kept, written, shown):
    process = kept("sh", "-c", f"printf '{written}'; exec sleep 300")
    assert eventually(lambda: process.log_text() != "")
    assert process.last_line() == shown


def test_last_line_of_any_length_is_not_cut(kept):
    process = kept("sh", "-c", "printf '%0900d\\n' 7")
    process.wait(10)
    assert process.last_line() == f"{7:0900d}"


def test_log_that_is_not_there_is_empty(tmp_path):
    process = SupervisedProcess(SLEEP, {}, tmp_path / "engine.log", "none")
    assert process.log_text() == process.last_line() == ""


def test_supervisor_that_is_killed_takes_the_whole_tree_with_it(kept, temporary):
    process = kept(*OUTLIVES)
    assert eventually(lambda: len(process.tree()) == 2)
    tree = process.tree()
    os.kill(process._supervisor.pid, signal.SIGKILL)
    assert eventually(lambda: process.has_exited)
    assert not any(runs(member) for member in tree)
    ending = process.stop(5)
    assert ending.killed == ("the supervisor itself was killed",)
    assert ending.left == ()
    assert process.how_it_ended == "its exit was not seen"
    assert list(temporary.iterdir()) == []


def test_supervisor_that_does_not_answer_is_ended_with_its_tree(kept, temporary, monkeypatch):
    monkeypatch.setattr(processes, "ANSWER_S", 0.2)
    process = kept(*OUTLIVES)
    assert eventually(lambda: len(process.tree()) == 2)
    tree = process.tree()
    os.kill(process._supervisor.pid, signal.SIGSTOP)
    assert eventually(lambda: psutil.Process(process._supervisor.pid).status() == psutil.STATUS_STOPPED)
    assert process.stop(0.1).killed == ("the supervisor did not answer",)
    assert not any(runs(member) for member in tree)
    assert list(temporary.iterdir()) == []


def test_sweeping_one_engine_spares_the_others_of_the_run(kept):
    first, second = kept(*SLEEP), kept(*SLEEP)
    os.kill(first._supervisor.pid, signal.SIGKILL)
    assert eventually(lambda: first.has_exited)
    assert not second.has_exited
    assert len(second.tree()) == 1


class Interrupted(queue.Queue):
    """Ctrl-C while the first event is awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupts = 1

    def get(self, block=True, timeout=None):
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return super().get(block, timeout)


def test_interrupt_while_the_engine_starts_leaves_nothing(tmp_path, temporary):
    process = SupervisedProcess(SLEEP, os.environ, tmp_path / "engine.log", run_tag())
    process._events = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        process.start()
    assert tagged_processes(process.tag) == []
    assert list(temporary.iterdir()) == []


def open_files(pid: int) -> list[str]:
    """The files a process holds open; a file that it closes meanwhile is left out."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found


def test_no_engine_holds_the_pipe_of_another(kept):
    first = kept(*SLEEP)
    lifeline = os.readlink(f"/proc/self/fd/{first._guard.stdin.fileno()}")
    second = kept(*SLEEP)
    for pid in (first.pid, second._guard.pid, second._supervisor.pid, second.pid):
        assert lifeline not in open_files(pid)


def test_fifty_cycles_leave_nothing(tmp_path, temporary):
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    held, children = [], psutil.Process().children()
    for _ in range(50):
        process = SupervisedProcess(("true",), os.environ, tmp_path / "engine.log", run_tag())
        process.start()
        process.stop(5)
        held.append(process)
    assert eventually(lambda: threading.active_count() <= threads)  # fewer when an earlier test's threads end
    assert len(os.listdir("/proc/self/fd")) <= fds
    assert list(temporary.iterdir()) == []
    assert tagged_processes(run_tag()) == []
    assert psutil.Process().children() == children


def test_tag_survives_a_new_process_title(kept):
    pytest.importorskip("setproctitle")
    title = "import setproctitle, time; setproctitle.setproctitle('VLLM::EngineCore'); "
    script = f"{title} print('up', flush=True); time.sleep(300)"
    process = kept(sys.executable, "-c", script)
    assert eventually(lambda: process.last_line() == "up")
    assert process.pid in [found.pid for found in tagged_processes(process.tag)]


def test_suite_killed_at_any_moment_leaves_nothing(tmp_path, temporary):
    moments = random.Random(6)
    for _ in range(6):
        owner, tag = started_owner(tmp_path, temporary, "cycles", *SLEEP)
        time.sleep(moments.uniform(0, 0.5))
        owner.kill()
        owner.wait()
        owner.stdout.close()
        assert eventually(lambda tag=tag: nothing_left(tag, temporary)), tag
        time.sleep(0.2)  # a supervisor that was being born when its suite died has no tag yet
        assert eventually(lambda tag=tag: nothing_left(tag, temporary)), tag


def test_two_interrupts_during_a_stop_leave_nothing(tmp_path, temporary):
    owner, tag = started_owner(tmp_path, temporary, "stops", *IGNORES_SIGTERM)
    assert owner.stdout.readline() == "stopping\n"
    for _ in range(2):
        owner.send_signal(signal.SIGINT)
    assert owner.wait(60) != 0
    owner.stdout.close()
    assert eventually(lambda: nothing_left(tag, temporary))


def test_orphans_with_a_living_supervisor_are_left_to_it(tmp_path, temporary, monkeypatch):
    # the suite dies between the first search for orphans and the second; other test processes have other variables
    monkeypatch.setattr(processes, "RUN_TAG", f"VLM_SELFTEST_RUN_{os.getpid()}")
    owner, tag = started_owner(tmp_path, temporary, "stops", *IGNORES_SIGTERM)
    assert owner.stdout.readline() == "stopping\n"
    searches = iter([lambda _=None: []])
    real = processes.tagged_processes
    monkeypatch.setattr(processes, "tagged_processes", lambda tag=None: next(searches, real)(tag))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert end_orphans() == []
    assert eventually(lambda: nothing_left(tag, temporary))
