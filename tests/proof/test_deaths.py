"""A run that is killed, whenever and however, leaves no process, no port, no temporary folder and readable results."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile

import deaths
import psutil
import pytest
from deaths import Kill

from vlm_acceptance.deployment.process import RUN_MARK

STAND_IN = list(deaths.kills(6, ["KILL", "TERM", "INT"], 6.0, seed=3))


@pytest.mark.parametrize("kill", STAND_IN, ids=lambda kill: f"{kill.name}{'-twice' if kill.twice else ''}")
def test_killed_run_leaves_nothing(tmp_path, kill):
    death = deaths.die(kill, "stand-in", tmp_path / "run")
    assert death.left == (), death


def test_killed_run_of_the_real_engine_leaves_nothing_and_the_next_run_starts(tmp_path):
    death = deaths.die(Kill("KILL", twice=False, after_s=20.0), "real", tmp_path / "run")
    assert death.left == (), death
    assert deaths.next_run_starts(tmp_path / "next")


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
