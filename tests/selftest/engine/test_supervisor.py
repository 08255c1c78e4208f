"""The supervisor alone, over its pipes: what it reports, what it ends, and that it leaves nothing behind."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.support.runs import eventually
from tests.support.supervisors import PYTHON, Kept, alive, end, job_line, kept, supervisor, word_of

from vlm_acceptance.engine.process import SUPERVISOR

IGNORES_SIGTERM = (
    "'{word}'; import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
)


FORKS_AND_DIES = """
import os, signal, subprocess, sys, time
supervisor = subprocess.Popen([sys.executable, "-I", "-S", sys.argv[1]], stdin=-1, stdout=-1, start_new_session=True)
with open(sys.argv[2] + "/job.json", "rb") as job:
    supervisor.stdin.write(job.read())
supervisor.stdin.flush()
supervisor.stdout.readline()
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def scratch_of(made: Kept) -> Path:
    """The temporary folder of an engine that has started."""
    assert made.event()["event"] == "started"
    (found,) = made.scratch()
    return found


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -15 $$", -15), ("kill -6 $$", -6)]
)
def test_exit_codes_and_signals_are_reported(tmp_path, script, code):
    with kept(tmp_path, "sh", "-c", script) as made:
        assert made.event()["event"] == "started"
        assert made.event() == {"event": "exited", "code": code}
        made.send("stop 1")
        assert made.ended()["code"] == code


def test_engine_that_ends_on_sigterm_is_not_killed(tmp_path):
    with kept(tmp_path, "sleep", "300") as made:
        made.event()
        made.send("stop 5")
        event = made.ended()
    assert event == {**event, "code": -15, "on_request": True, "killed": [], "left": []}
    assert event["seconds"] < 2


def test_engine_that_ignores_sigterm_is_killed_and_named(tmp_path):
    word = word_of(tmp_path)
    with kept(tmp_path, PYTHON, "-c", IGNORES_SIGTERM.format(word=word)) as made:
        made.event()
        assert eventually(lambda: "ready" in made.log.read_text())
        made.send("stop 0.3")
        event = made.ended()
    assert not event["on_request"]
    assert [word in line for line in event["killed"]] == [True]
    assert event["code"] == -9
    assert alive(word) == []


def test_stopped_engine_is_ended_too(tmp_path):
    with kept(tmp_path, "sleep", "300") as made:
        pid = made.event()["pid"]
        os.kill(pid, signal.SIGSTOP)
        assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        made.send("stop 0.3")
        assert made.ended()["code"] == -9
    assert not psutil.pid_exists(pid)


def test_grandchild_in_a_session_of_its_own_is_found_and_named(tmp_path):
    word = word_of(tmp_path)
    script = f"(setsid sh -c 'sleep 300; true {word}' &) ; sleep 300"
    with kept(tmp_path, "sh", "-c", script) as made:
        made.event()
        assert eventually(lambda: len(alive(f"true {word}")) >= 2)  # the script and the child it names
        made.send("stop 5")
        event = made.ended()
    assert event["code"] == -15
    assert event["killed"]
    assert all(word in line or "sleep" in line for line in event["killed"])
    assert alive(word) == []


def test_child_that_ends_within_its_time_after_the_engine_is_named_and_not_killed(tmp_path):
    word = word_of(tmp_path)
    script = f"(trap '' TERM; exec sh -c 'sleep 7; : {word}') & exec sleep 300"
    with kept(tmp_path, "sh", "-c", script, children_s=15) as made:
        made.event()
        assert eventually(lambda: alive(word))
        made.send("stop 30")
        event = made.ended()
    assert event["killed"] == event["left"] == []
    assert any(word in line for line in event["late"])
    assert event["on_request"]


def test_child_that_outlives_its_time_is_killed_and_not_called_late(tmp_path):
    word = word_of(tmp_path)
    script = f"(trap '' TERM; exec sh -c 'sleep 60; : {word}') & exec sleep 300"
    with kept(tmp_path, "sh", "-c", script, children_s=6) as made:
        made.event()
        assert eventually(lambda: alive(word))
        made.send("stop 30")
        event = made.ended()
    assert any(word in line for line in event["killed"])
    assert event["late"] == []


def test_zombies_do_not_count(tmp_path):
    # the child is dead and never reaped
    script = "import os, time; os.fork() or os._exit(0); print('up', flush=True); time.sleep(300)"
    with kept(tmp_path, PYTHON, "-c", script) as made:
        made.event()
        assert eventually(lambda: "up" in made.log.read_text())
        made.send("stop 5")
        event = made.ended()
    assert event["killed"] == []
    assert event["seconds"] < 2


def test_process_whose_first_thread_is_gone_counts(tmp_path):
    # its state is that of a zombie while its other threads run
    exit_thread = 60 if platform.machine() == "x86_64" else 93
    script = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(300,)).start();"
        f"ctypes.CDLL(None).syscall({exit_thread}, 0)"
    )
    with kept(tmp_path, PYTHON, "-c", script) as made:
        pid = made.event()["pid"]
        assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        made.send("stop 0.3")
        event = made.ended()
    assert event["left"] == []
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("argv", [["/no/such/program"], ["no-such-program-on-path"], ["/etc/passwd"]])
def test_program_that_cannot_be_executed_is_reported(tmp_path, argv):
    with kept(tmp_path, *argv) as made:
        event = made.event()
        assert made.process.wait(5) == 0
    assert event["event"] == "failed"
    assert event["engine"] is True
    assert "Errno" in event["why"]
    assert made.scratch() == []


@pytest.mark.parametrize("log", ["/no/such/folder/engine.log", "/proc/engine.log"])
def test_log_that_cannot_be_opened_is_reported(tmp_path, log):
    with kept(tmp_path, "sleep", "300", log=log) as made:
        event = made.event()
        assert made.process.wait(5) == 0
    assert event["event"] == "failed"
    assert event["engine"] is False
    assert log in event["why"]
    assert made.scratch() == []


def test_full_disk_under_the_log_hangs_nothing(tmp_path):
    with kept(tmp_path, "sh", "-c", "echo lost; exit 4", log="/dev/full") as made:
        made.event()
        assert made.event() == {"event": "exited", "code": 4}
        made.send("stop 1")
        assert made.ended()["code"] == 4


def test_path_of_the_engines_environment_is_searched(tmp_path):
    program = tmp_path / "bin" / "an-engine"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    with kept(tmp_path, "an-engine", env={"PATH": f"{program.parent}:{os.environ['PATH']}"}) as made:
        assert made.event()["event"] == "started"
        assert made.event()["code"] == 7


def test_engine_gets_its_own_temporary_folder_which_is_removed_with_it(tmp_path):
    with kept(tmp_path, "sh", "-c", "touch $TMPDIR/socket; exec sleep 300") as made:
        scratch = scratch_of(made)
        assert eventually((scratch / "socket").exists)
        assert (scratch / ".run").read_text() == "none"
        made.send("stop 5")
        made.ended()
        assert made.process.wait(5) == 0
    assert made.scratch() == []


def test_engine_runs_in_a_folder_of_its_own_which_is_removed_with_it(tmp_path):
    with kept(tmp_path, "sh", "-c", "mkdir kernel_meta; touch fusion_result.json; pwd; exec sleep 300") as made:
        scratch = scratch_of(made)
        assert eventually(lambda: "work" in made.log.read_text())
        assert made.log.read_text().strip() == str(scratch / "work")
        assert {path.name for path in (scratch / "work").iterdir()} == {"kernel_meta", "fusion_result.json"}
        made.send("stop 5")
        made.ended()
        assert made.process.wait(5) == 0
    assert made.scratch() == []


def test_files_of_the_job_are_removed_with_the_engine(tmp_path):
    big = tmp_path / "job.json"
    big.write_text("{}")
    with kept(tmp_path, "sleep", "300", files=[str(big), str(tmp_path / "never-there")]) as made:
        made.event()
    assert not big.exists()


def test_engine_inherits_no_pipe_and_no_ignored_signal_of_the_supervisor(tmp_path):
    script = (
        "import os, signal; print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')));"
        "print([signal.getsignal(s) == signal.SIG_DFL for s in (15, 1)], os.read(0, 1), os.getsid(0) == os.getpid())"
    )
    with kept(tmp_path, PYTHON, "-c", script) as made:
        made.event()
        assert made.event()["code"] == 0
    # the fourth is the folder being listed
    assert made.log.read_text().splitlines() == ["['0', '1', '2'] 4", "[True, True] b'' True"]


def test_suite_that_dies_before_the_job_line_leaves_nothing(tmp_path):
    made = supervisor(tmp_path)
    made.process.stdin.write(b'{"argv": ["sleep"')
    made.process.stdin.flush()
    end(made)
    assert made.process.returncode == 0
    assert made.scratch() == []


def test_suite_that_dies_leaves_neither_engine_nor_folder(tmp_path):
    with kept(tmp_path, "sleep", "300") as made:
        pid = made.event()["pid"]
        made.process.stdin.close()
        made.process.wait(10)
    assert not psutil.pid_exists(pid)
    assert made.scratch() == []


def test_suite_that_dies_during_a_long_stop_is_noticed(tmp_path):
    word = word_of(tmp_path)
    with kept(tmp_path, PYTHON, "-c", IGNORES_SIGTERM.format(word=word)) as made:
        made.event()
        assert eventually(lambda: "ready" in made.log.read_text())
        made.send("stop 300")
        assert not eventually(lambda: made.process.poll() is not None, 0.5)
        made.process.stdin.close()
        made.process.wait(10)
    assert alive(word) == []


def test_death_of_a_suite_whose_pipe_is_held_by_a_fork_is_noticed(tmp_path):
    word = word_of(tmp_path)
    (tmp_path / "tmp").mkdir()
    line = job_line(tmp_path, "sh", "-c", f": {word}; sleep 300; :")
    (tmp_path / "job.json").write_text(line)
    middle = subprocess.Popen([PYTHON, "-c", FORKS_AND_DIES, str(SUPERVISOR), str(tmp_path)], start_new_session=True)
    try:
        middle.wait(10)
        assert alive(word)
        assert eventually(lambda: not alive(word))
    finally:
        os.killpg(middle.pid, signal.SIGKILL)  # the lasting fork


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_supervisor_that_gets_a_signal_ends_its_engine_first(tmp_path, number):
    with kept(tmp_path, "sleep", "300") as made:
        pid = made.event()["pid"]
        made.process.send_signal(number)
        assert made.ended()["code"] == -15
    assert not psutil.pid_exists(pid)


def test_engine_dies_with_a_supervisor_that_is_killed(tmp_path):
    with kept(tmp_path, "sleep", "300") as made:
        pid = made.event()["pid"]
        made.process.kill()
        assert eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_tree_that_forks_all_the_time_is_ended(tmp_path):
    word = word_of(tmp_path)
    script = f"import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up {word}', flush=True)\n"
    script += "while True:\n    if os.fork():\n        os._exit(0)\n    os.setsid()\n    time.sleep(0.002)\n"
    with kept(tmp_path, PYTHON, "-c", script) as made:
        made.event()
        assert eventually(lambda: "up" in made.log.read_text())
        made.send("stop 0.2")
        event = made.ended()
    assert event["left"] == []
    assert alive(word) == []


def test_log_that_grows_too_long_keeps_its_beginning_and_its_end(tmp_path):
    script = "import sys, time\nprint('first line')\n"
    script += "for number in range(700):\n    print(f'{number} ' + 'x' * 100_000, flush=True)\n"
    # again and again: lines that are written during the cut are lost
    script += "while True:\n    print('last line', flush=True)\n    time.sleep(0.2)\n"
    with kept(tmp_path, PYTHON, "-c", script) as made:
        made.event()
        assert eventually(lambda: b"left out" in (log := made.log.read_bytes()) and log.endswith(b"last line\n"))
        data = made.log.read_bytes()
    assert len(data) < 40_000_000
    assert data.startswith(b"first line\n0 xxx")
    assert data.endswith(b"last line\n")
    assert b"xxx\n" in data[-200_000:]
    assert b"bytes of this log were left out here]\n" in data


def test_log_that_is_not_too_long_is_left_alone(tmp_path):
    with kept(tmp_path, PYTHON, "-c", "import time; print('x' * 1_000_000, flush=True); time.sleep(300)") as made:
        made.event()
        assert eventually(lambda: made.log.stat().st_size == 1_000_001)
        made.send("stop 1")
        made.ended()
    assert made.log.stat().st_size == 1_000_001
