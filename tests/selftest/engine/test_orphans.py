"""Run tags and orphans: what dead runs left behind is ended, living runs and other programs are not touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.runs import eventually

from vlm_acceptance.engine import process as processes
from vlm_acceptance.engine.process import RUN_TAG, end_orphans, owner_lives, run_tag

SRC = Path(processes.__file__).resolve().parents[2]
SLEEP = ("sleep", "300")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_variable(monkeypatch: pytest.MonkeyPatch) -> str:
    """A variable for run tags of this process alone, so that test processes do not end each other's orphans."""
    name = f"VLM_SELFTEST_RUN_{os.getpid()}"
    monkeypatch.setattr(processes, "RUN_TAG", name)
    return name


@pytest.fixture
def dead_tag() -> str:
    """The tag of a run that has ended."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine import process; "
    argv = [sys.executable, "-c", script + "print(process.run_tag())", str(SRC)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tagged(own_variable: str) -> Iterator[Callable[[str], psutil.Process]]:
    """Processes with a given tag and without a supervisor."""
    made: list[subprocess.Popen[bytes]] = []

    def start(tag: str) -> psutil.Process:
        env = {"PATH": os.environ["PATH"], **({own_variable: tag} if tag else {})}
        made.append(subprocess.Popen(SLEEP, env=env))
        return psutil.Process(made[-1].pid)

    yield start
    for process in made:
        process.kill()
        process.wait()


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_own_run_lives():
    assert owner_lives(run_tag())
    assert owner_lives(f"{run_tag()}/7")


def test_run_that_is_over_does_not_live(dead_tag):
    assert not owner_lives(dead_tag)
    assert not owner_lives(f"{dead_tag}/1")


def test_pid_that_was_used_again_is_not_the_run():
    pid, ticks, namespace = run_tag().split("-")
    assert not owner_lives(f"{pid}-{int(ticks) - 1}-{namespace}")


def test_zombie_is_not_a_run():
    script = "import sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine.process import run_tag; "
    argv = [sys.executable, "-c", script + "print(run_tag())", str(SRC)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        tag = owner.stdout.read().strip()
        assert eventually(lambda: psutil.Process(owner.pid).status() == psutil.STATUS_ZOMBIE)
        assert not owner_lives(tag)


@pytest.mark.parametrize("tag", ["", "4194305", "x-1-2", "4194305-17", "4194305-17-1"])
def test_what_cannot_be_judged_from_here_counts_as_living(tag):
    # the last one is of another container, whose pids mean nothing here
    assert owner_lives(tag)


def test_orphans_of_a_dead_run_are_ended_and_named(temporary, dead_tag, tagged):
    orphan = tagged(f"{dead_tag}/1")
    assert [line.split()[:2] for line in end_orphans()] == [[str(orphan.pid), "sleep"]]
    assert not runs(orphan)


def test_living_runs_and_others_are_not_touched(temporary, tagged):
    spared = [tagged(f"{run_tag()}/1"), tagged("1-1-1/1"), tagged("of another program"), tagged("")]
    assert end_orphans() == []
    assert all(runs(process) for process in spared)


def test_temporary_folders_of_dead_runs_alone_are_removed(temporary, dead_tag):
    for name, tag in (("vlma-dead", dead_tag), ("vlma-own", run_tag()), ("vlma-other", None), ("else", dead_tag)):
        (temporary / name).mkdir()
        if tag:
            (temporary / name / ".run").write_text(tag)
    end_orphans()
    assert sorted(path.name for path in temporary.iterdir()) == ["else", "vlma-other", "vlma-own"]


def test_own_ancestors_are_never_found(monkeypatch):
    # as when a suite starts another suite
    script = (
        "import os, subprocess, sys; sys.path.insert(0, sys.argv[1]); from vlm_acceptance.engine import process;"
        "print([p.pid in (os.getpid(), os.getppid()) for p in process.tagged_processes('inherited')])"
    )
    inner = f'{sys.executable} -c "{script}" {SRC}; true'
    done = subprocess.run(
        ["sh", "-c", inner], env={**os.environ, RUN_TAG: "inherited"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
