"""A run that is killed at any moment leaves no process, no port, no temporary folder, and results that can be read."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time

import deaths
import psutil
import pytest
from deaths import EXCHANGES, Kill, Moment

from vlm_acceptance.engine.process import RUN_TAG

STAND_IN = list(deaths.kills(len(deaths.DEATHS), list(deaths.DEATHS), deaths.STAND_IN, seed=3))


@pytest.mark.fault("killed")
def test_killed_runs_leave_nothing(tmp_path, prove):
    began = time.monotonic()
    died = [deaths.die(kill, "stand-in", tmp_path / f"run{number}") for number, kill in enumerate(STAND_IN)]
    assert [death for death in died if death.left or death.missed] == []
    assert {death.kill.at.file for death in died} == set(deaths.PHASES)
    assert deaths.next_run_starts(tmp_path / "next")
    stages = ", ".join(f"{death.kill.name} at {death.kill.at}" for death in died)
    seen = f"{len(died)} kills ({stages}): nothing is left, and the next run starts"
    prove("killed", seen=seen, seconds=time.monotonic() - began)


@pytest.mark.fault("killed-real")
def test_killed_run_of_the_real_engine_leaves_nothing_and_the_next_run_starts(tmp_path, prove):
    began = time.monotonic()
    # the first stored exchange: the server is up
    death = deaths.die(Kill("KILL", twice=False, at=Moment(EXCHANGES, 1)), "real", tmp_path / "run")
    assert not death.missed, death
    assert death.left == (), death
    assert deaths.next_run_starts(tmp_path / "next")
    seen = f"gone after {death.gone_s:.1f} s, and the next run starts"
    prove("killed-real", seen=seen, seconds=time.monotonic() - began)


def test_what_a_run_leaves_is_found(tmp_path, monkeypatch):
    # shows that the search would find something
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "vlma-x"
    folder.mkdir()
    (folder / ".run").write_text("77-1-1/1")
    env = {**os.environ, RUN_TAG: "77-1-1/1"}
    with socket.socket() as server, subprocess.Popen(["sleep", "60"], env=env) as marked:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with subprocess.Popen(["sleep", "60"]) as unmarked:
            tree = [psutil.Process(unmarked.pid)]
            left = deaths.leftovers(77, tree, port)
            unmarked.kill()
        marked.kill()
    numbers = sorted([marked.pid, unmarked.pid])
    assert left[:3] == [*(f"process {number}" for number in numbers), str(folder)]
    assert left[3].startswith(f"port {port} held by pid {os.getpid()}")
    (folder / ".run").unlink()
    assert deaths.leftovers(77, tree, port) == []


@pytest.mark.parametrize(("names", "times"), [(["KILL", "TERM", "INT"], 24), (list(deaths.DEATHS), 100)])
def test_kills_come_in_every_phase_with_every_death(names, times):
    drawn = list(deaths.kills(times, names, deaths.STAND_IN, seed=1))
    assert {(kill.name, kill.at.file) for kill in drawn} == {(name, file) for name in names for file in deaths.PHASES}
    assert all(kill.at.lines < deaths.STAND_IN.results for kill in drawn)


def test_a_moment_is_reached_when_the_file_has_so_many_lines(tmp_path):
    folder = tmp_path / "reports" / "runs" / "one"
    folder.mkdir(parents=True)
    assert Moment("").reached(tmp_path)
    assert not Moment(deaths.LOG).reached(tmp_path)
    (folder / deaths.LOG).touch()
    (folder / EXCHANGES).write_text("{}\n{}")
    assert Moment(deaths.LOG).reached(tmp_path)
    assert [Moment(EXCHANGES, lines).reached(tmp_path) for lines in (1, 2)] == [True, False]


def test_the_seconds_of_a_moment_end_with_its_phase(tmp_path):
    folder = tmp_path / "reports" / "runs" / "one"
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as run:
        began = time.monotonic()
        assert deaths.wait_for(Moment("", 0, 0.3), tmp_path, run)
        assert time.monotonic() - began >= 0.3
        (folder / deaths.LOG).touch()
        assert deaths.wait_for(Moment("", 0, 30.0), tmp_path, run)
        assert time.monotonic() - began < 30
        run.kill()


def test_a_kill_that_comes_too_late_or_never_is_reported(tmp_path):
    run = subprocess.Popen(["true"])
    run.wait()
    assert not deaths.wait_for(Moment(EXCHANGES, 1), tmp_path, run)
    kill = Kill("KILL", twice=False, at=Moment(""))
    assert deaths.Death(kill, deaths.TOO_LATE, 0, 0.0, 0, ()).missed
    assert not deaths.Death(kill, "collected 3 items", 0, 0.0, 0, ()).missed


def test_results_that_cannot_be_read_are_found(tmp_path):
    folder = tmp_path / "reports" / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text('{"id": "a"}\n{"id": "b')
    assert deaths.results(tmp_path) == (2, ["results.jsonl:2 is not JSON"])
