"""The proof: the acceptance suite run, as a user runs it, on deployments broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.deployment.interpreter import find_engine
from vlm_acceptance.deployment.process import run_mark
from vlm_acceptance.deployment.server import Deployment, launch
from vlm_acceptance.profile_load import load_profile
from vlm_acceptance.settings import PROFILES, ROOT

PROOF = Path(__file__).resolve().parent
CONTROL = ROOT / "fixtures" / "control" / "model"
sys.path.insert(0, str(PROOF))  # the stand-ins are scripts, not a package

from interrupts import interrupts_are_heard  # noqa: E402, F401  (a fixture)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the suite came to; `summary` is None when it ended before there was one."""

    code: int
    out: str
    reports: Path
    summary: dict[str, Any] | None

    def ids(self, outcome: str) -> set[str]:
        """Tests of an outcome, without their folder."""
        tests = self.summary["tests"] if self.summary else []
        return {test["id"].rpartition("/")[2] for test in tests if test["outcome"] == outcome}

    @property
    def refused_by(self) -> set[str]:
        """Tests that failed."""
        return self.ids("failed")

    @property
    def messages(self) -> str:
        """First lines of everything that is not right."""
        tests = self.summary["tests"] if self.summary else []
        return "\n".join(test["message"] for test in tests if test["outcome"] in ("failed", "error"))

    @property
    def junit(self) -> ET.Element:
        """The JUnit file, parsed."""
        return ET.parse(self.reports / "junit.xml").getroot()


Accept = Callable[..., Run]


@pytest.fixture
def accept(tmp_path: Path) -> Accept:
    """Run `pytest -m smoke` in a process of its own with the given arguments; reports go to a folder of the test."""

    def run(*args: str, env: dict[str, str] | None = None, timeout_s: float = 300) -> Run:
        reports = tmp_path / "reports"
        argv = [sys.executable, "-m", "pytest", "-q", "-m", "smoke", f"--vlm-reports={reports}", *args]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_"))}
        done = subprocess.run(
            argv, cwd=ROOT, env={**clean, **(env or {})}, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        path = reports / "latest" / "summary.json"
        summary = json.loads(path.read_text("utf-8")) if path.is_file() else None
        return Run(done.returncode, done.stdout + done.stderr, reports, summary)

    return run


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The control on the real engine, up for all wire faults."""
    profile = load_profile("control-cpu", PROFILES).profile
    engine = find_engine(None, None, os.environ)
    log = tmp_path_factory.mktemp("control") / "server.log"
    deployment = launch(
        profile, engine.command, CONTROL, os.environ, log, run_mark(), api_key=None, progress=lambda _: None
    )
    assert deployment.ready, deployment.rungs[-1].detail
    yield deployment
    deployment.stop()


@pytest.fixture
def stand_in_engine(tmp_path: Path) -> Path:
    """An executable `vllm` that behaves as VLM_STANDIN says."""
    path = tmp_path / "bin" / "vllm"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROOF}/standins/scripted_engine.py' \"$@\"\n", "utf-8")
    path.chmod(0o755)
    return path
