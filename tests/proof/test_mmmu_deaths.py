"""An accuracy run that is killed and resumed many times ends with the answers of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance_runs import PROOF
from standins.letter_server import key_of

from vlm_acceptance.accuracy import answers_file
from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.mmmu.dataset import MMMU
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile

KILLS = 20
CONCURRENCY = 4
NAME = "mmmu_val.jsonl"


class LetterServer:
    """The stand-in server, and runs of the suite against it."""

    def __init__(self, folder: Path, hold_s: float) -> None:
        self.folder = folder
        self.log = folder / "asked"
        self.log.touch()
        script = str(PROOF / "standins" / "letter_server.py")
        argv = [sys.executable, script, "--model", "vlm-acceptance/control", "--log", str(self.log)]
        self.server = subprocess.Popen(
            [*argv, "--hold-s", str(hold_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.server.stdout is not None
        self.url = self.server.stdout.readline().strip()
        self.runs: list[subprocess.Popen[str]] = []

    def start(self, reports: Path, *args: str) -> subprocess.Popen[str]:
        """One run of the suite, in a session of its own."""
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "slow",
            "tests/acceptance/test_mmmu.py",
            "-k",
            "every_question",
        ]
        argv += [f"--vlm-reports={reports}", f"--vlm-base-url={self.url}", "--vlm-profile=control-cpu"]
        for override in ("early_stop=false", f"concurrency={CONCURRENCY}", "sighted.sample=0"):
            argv.append(f"--vlm-set=mmmu.{override}")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_"))}
        run = subprocess.Popen(
            [*argv, *args], cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.runs.append(run)
        return run

    def wait_for_questions(self, run: subprocess.Popen[str], more_than: int) -> None:
        """Wait until so many are asked, the run has ended or 30 s have passed."""
        deadline = time.monotonic() + 30
        while len(self.asked()) <= more_than and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> None:
        """Kill the runs that remain and end the server, so that a failed test leaves nothing."""
        for run in self.runs:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()
        assert self.server.stdin is not None
        self.server.stdin.close()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def asked(self) -> list[str]:
        """Keys of the questions asked so far."""
        return self.log.read_text("utf-8").split()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LetterServer]:
    """The server for one test."""
    made = LetterServer(tmp_path, hold_s=0.15)
    yield made
    made.end()


def latest_answers(reports: Path) -> dict[str, str | None]:
    """Answers of the run that `--vlm-resume=latest` would resume."""
    files = list(reports.glob(f"runs/*/{NAME}"))
    if not files:
        return {}
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return {ident: answer.text for ident, answer in answers_file.read(newest)[1].items()}


def keys() -> dict[str, str]:
    """Ids of the questions by their key in requests."""
    plan = accuracy.plan(load_profile("control-cpu", PROFILES).profile)
    assert isinstance(plan.prepared, Prepared)
    assert plan.dataset is MMMU
    return {key_of(asked.text, [p.sha256 for p in asked.pictures]): asked.id for asked in plan.requests()}


def kill_somewhere(server: LetterServer, reports: Path, chance: random.Random, args: list[str]) -> None:
    """Start a run and kill it with everything it started: during its start or between its questions."""
    before = len(server.asked())
    process = server.start(reports, *args)
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0.0, 1.5))
    else:
        server.wait_for_questions(process, before)
        time.sleep(chance.uniform(0.0, 0.35))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_killed_twenty_times_ends_as_an_undisturbed_one(server: LetterServer, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    out, _ = server.start(whole).communicate(timeout=120)
    undisturbed = latest_answers(whole)
    ids = keys()
    assert len(undisturbed) == len(ids) == len(server.asked()), out
    chance = random.Random(7)
    known: dict[str, str | None] = {}
    for _ in range(KILLS):
        seen = len(server.asked())
        kill_somewhere(server, broken, chance, ["--vlm-resume=latest"] if known else [])
        asked = [ids[key] for key in server.asked()[seen:]]
        assert not known.keys() & set(asked)  # stored questions are not asked again
        after = latest_answers(broken)
        if known:
            assert known.items() <= after.items()
        assert len(set(asked) - after.keys()) <= CONCURRENCY  # only requests in flight are lost
        known = after
    seen = len(server.asked())
    out, _ = server.start(broken, "--vlm-resume=latest").communicate(timeout=120)
    assert latest_answers(broken) == undisturbed, out
    assert {ids[key] for key in server.asked()[seen:]} == undisturbed.keys() - known.keys()


def test_a_run_with_other_options_is_not_resumed(server: LetterServer, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    process = server.start(reports)
    server.wait_for_questions(process, 0)
    assert server.asked()
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    seen = len(server.asked())
    refused = server.start(reports, "--vlm-resume=latest", "--vlm-mmmu-protocol=official", "--vlm-set=model.id=other")
    out, _ = refused.communicate(timeout=60)
    assert refused.returncode == 4, out
    assert "prompts.protocol was 'vlmevalkit', is 'official'" in out
    assert "profile.model.id was 'vlm-acceptance/control', is 'other'" in out
    assert len([line for line in out.splitlines() if line.strip()]) == 1
    assert len(server.asked()) == seen
