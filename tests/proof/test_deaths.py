"""A run that is killed, whenever and however, leaves no process, no port, no temporary folder and readable results."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time

import deaths
import psutil
import pytest
from deaths import Kill

from vlm_acceptance.deployment.process import RUN_MARK

STAND_IN = list(deaths.kills(6, ["KILL", "TERM", "INT"], deaths.WINDOW_S, seed=3))


@pytest.mark.fault("killed")
def test_killed_runs_leave_nothing(tmp_path, prove):
    began = time.monotonic()
    died = [deaths.die(kill, "stand-in", tmp_path / f"run{number}") for number, kill in enumerate(STAND_IN)]
    assert [death for death in died if death.left] == []
    stages = ", ".join(f"{death.kill.name} {death.kill.after_s} s" for death in died)
    prove("killed", seen=f"{len(died)} kills ({stages}): nothing is left", seconds=time.monotonic() - began)


@pytest.mark.fault("killed-real")
def test_killed_run_of_the_real_engine_leaves_nothing_and_the_next_run_starts(tmp_path, prove):
    began = time.monotonic()
    death = deaths.die(Kill("KILL", twice=False, after_s=20.0), "real", tmp_path / "run")
    assert death.left == (), death
    assert deaths.next_run_starts(tmp_path / "next")
    seen = f"gone after {death.gone_s:.1f} s, and the next run starts"
    prove("killed-real", seen=seen, seconds=time.monotonic() - began)


def test_what_a_run_leaves_is_found(tmp_path, monkeypatch):
    # a search that finds nothing proves nothing until it has found something
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "vlma-x"
    folder.mkdir()
    (folder / ".run").write_text("77-1-1/1")
    env = {**os.environ, RUN_MARK: "77-1-1/1"}
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


def test_results_that_cannot_be_read_are_found(tmp_path):
    folder = tmp_path / "reports" / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text('{"id": "a"}\n{"id": "b')
    assert deaths.results(tmp_path) == (2, ["results.jsonl:2 is not JSON"])
