"""Owning a process tree: whatever dies, whenever it dies, nothing of it is left, and nobody else is touched."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.runs import eventually

from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem
from vlm_acceptance.engine import process as processes
from vlm_acceptance.engine.process import (
    RUN_TAG,
    SupervisedProcess,
    end_orphans,
    marked_processes,
    owner_lives,
    run_tag,
)

SRC = Path(processes.__file__).resolve().parents[2]
SLEEP = ("sleep", "300")
DEAF = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)")  # fmt: skip  # noqa: E501
OUTLIVES = ("sh", "-c", "setsid sleep 300 & echo up; exec sleep 300")
# what a suite does, for those tests that kill it
OWNER = """
import os, sys, tempfile, threading
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from vlm_acceptance.engine.process import SupervisedProcess, run_tag
how, log, *argv = sys.argv[2:]
tempfile.gettempdir()  # as pytest has before any engine: the first call makes a file of its own for a moment
print(run_tag(), flush=True)
while True:
    kept = SupervisedProcess(argv, os.environ, Path(log), run_tag())
    kept.start()
    if how == "stops":
        while "deaf" not in kept.log_text():
            pass
        threading.Timer(0.3, lambda: print("stopping", flush=True)).start()
        kept.stop(300)
    kept.stop(5)
"""


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
    """A folder for temporary files that nobody else uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def dead_mark() -> str:
    """The mark of a run that is over."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine import process; "
    argv = [sys.executable, "-c", script + "print(process.run_tag())", str(SRC)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def marked() -> Iterator[Callable[[str], psutil.Process]]:
    """Processes with a mark of their own choosing and no supervisor."""
    made: list[subprocess.Popen[bytes]] = []

    def start(mark: str) -> psutil.Process:
        env = {"PATH": os.environ["PATH"], **({RUN_TAG: mark} if mark else {})}
        made.append(subprocess.Popen(SLEEP, env=env))
        return psutil.Process(made[-1].pid)

    yield start
    for process in made:
        process.kill()
        process.wait()


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


def test_deaf_engine_is_killed_and_named(kept):
    process = kept(*DEAF)
    assert eventually(lambda: process.last_line() == "deaf")
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


def test_log_that_is_not_there_is_empty(tmp_path):
    process = SupervisedProcess(SLEEP, {}, tmp_path / "engine.log", "none")
    assert process.log_text() == process.last_line() == ""


def test_keeper_that_is_killed_takes_the_whole_tree_with_it(kept, temporary):
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


def test_keeper_that_does_not_answer_is_ended_with_its_tree(kept, temporary, monkeypatch):
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
    """Ctrl-C while the first event is waited for."""

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
    assert marked_processes(process.mark) == []
    assert list(temporary.iterdir()) == []


def open_files(pid: int) -> list[str]:
    """What a process holds open; a file it closes while we look is not held."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(fd))
    return found


def test_no_engine_holds_the_pipe_of_another(kept):
    first = kept(*SLEEP)
    lifeline = os.readlink(f"/proc/self/fd/{first._supervisor.stdin.fileno()}")
    second = kept(*SLEEP)
    for pid in (first.pid, second._supervisor.pid, second.pid):
        assert lifeline not in open_files(pid)


def test_fifty_cycles_leave_nothing(tmp_path, temporary):
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    held = []
    for _ in range(50):
        process = SupervisedProcess(("true",), os.environ, tmp_path / "engine.log", run_tag())
        process.start()
        process.stop(5)
        held.append(process)
    assert eventually(lambda: threading.active_count() <= threads)  # fewer when an earlier test's threads end
    assert len(os.listdir("/proc/self/fd")) <= fds
    assert list(temporary.iterdir()) == []
    assert marked_processes(run_tag()) == []
    assert psutil.Process().children() == []


def test_mark_survives_a_new_process_title(kept):
    pytest.importorskip("setproctitle")
    title = "import setproctitle, time; setproctitle.setproctitle('VLLM::EngineCore'); "
    script = f"{title} print('up', flush=True); time.sleep(300)"
    process = kept(sys.executable, "-c", script)
    assert eventually(lambda: process.last_line() == "up")
    assert process.pid in [found.pid for found in marked_processes(process.mark)]


def started_owner(tmp_path: Path, temporary: Path, how: str, *argv: str) -> tuple[subprocess.Popen[str], str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(SRC), how, str(tmp_path / "engine.log"), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    return owner, owner.stdout.readline().strip()


def nothing_left(mark: str, temporary: Path) -> bool:
    return marked_processes(mark) == [] and list(temporary.iterdir()) == []


def test_suite_killed_at_any_moment_leaves_nothing(tmp_path, temporary):
    moments = random.Random(6)
    for _ in range(6):
        owner, mark = started_owner(tmp_path, temporary, "cycles", *SLEEP)
        time.sleep(moments.uniform(0, 0.5))
        owner.kill()
        owner.wait()
        owner.stdout.close()
        assert eventually(lambda mark=mark: nothing_left(mark, temporary)), mark
        time.sleep(0.2)  # a supervisor that was being born when its suite died carries no mark yet
        assert eventually(lambda mark=mark: nothing_left(mark, temporary)), mark


def test_two_interrupts_during_a_stop_leave_nothing(tmp_path, temporary):
    owner, mark = started_owner(tmp_path, temporary, "stops", *DEAF)
    assert owner.stdout.readline() == "stopping\n"
    for _ in range(2):
        owner.send_signal(signal.SIGINT)
    assert owner.wait(10) != 0
    owner.stdout.close()
    assert eventually(lambda: nothing_left(mark, temporary))


def test_own_run_lives():
    assert owner_lives(run_tag())
    assert owner_lives(f"{run_tag()}/7")


def test_run_that_is_over_does_not_live(dead_mark):
    assert not owner_lives(dead_mark)
    assert not owner_lives(f"{dead_mark}/1")


def test_pid_that_was_used_again_is_not_the_run():
    pid, ticks, namespace = run_tag().split("-")
    assert not owner_lives(f"{pid}-{int(ticks) - 1}-{namespace}")


def test_zombie_is_not_a_run():
    script = "import sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine.process import run_tag; "
    argv = [sys.executable, "-c", script + "print(run_tag())", str(SRC)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        mark = owner.stdout.read().strip()
        assert eventually(lambda: psutil.Process(owner.pid).status() == psutil.STATUS_ZOMBIE)
        assert not owner_lives(mark)


@pytest.mark.parametrize("mark", ["", "4194305", "x-1-2", "4194305-17", "4194305-17-1"])
def test_what_cannot_be_judged_from_here_counts_as_living(mark):
    # the last one is of another container: its pids mean nothing here
    assert owner_lives(mark)


def test_strays_of_a_dead_run_are_ended_and_named(temporary, dead_mark, marked):
    orphan = marked(f"{dead_mark}/1")
    assert [line.split()[:2] for line in end_orphans()] == [[str(orphan.pid), "sleep"]]
    assert not runs(orphan)


def test_living_runs_and_others_are_not_touched(temporary, marked):
    spared = [marked(f"{run_tag()}/1"), marked("1-1-1/1"), marked("somebody's"), marked("")]
    assert end_orphans() == []
    assert all(runs(process) for process in spared)


def test_temporary_folders_of_dead_runs_alone_are_removed(temporary, dead_mark):
    for name, mark in (("vlma-dead", dead_mark), ("vlma-own", run_tag()), ("vlma-other", None), ("else", dead_mark)):
        (temporary / name).mkdir()
        if mark:
            (temporary / name / ".run").write_text(mark)
    end_orphans()
    assert sorted(path.name for path in temporary.iterdir()) == ["else", "vlma-other", "vlma-own"]


def test_own_ancestors_are_never_found(monkeypatch):
    # as when the suite is started in an environment that the suite made
    script = (
        "import os, subprocess, sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine import process;"
        "print([p.pid in (os.getpid(), os.getppid()) for p in process.marked_processes('inherited')])"
    )
    inner = f'{sys.executable} -c "{script}" {SRC}; true'
    done = subprocess.run(
        ["sh", "-c", inner], env={**os.environ, RUN_TAG: "inherited"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
