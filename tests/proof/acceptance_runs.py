"""Acceptance runs as a user starts them, in processes of their own, and their results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import first_day

from vlm_acceptance.config.paths import ROOT

PROOF = Path(__file__).resolve().parent
CONTROL = ROOT / "fixtures" / "control" / "model"
# PROOF_FULL=1, `make proof FULL=1`: the whole suite in place of the checks meant for a fault
WHOLE = os.environ.get("PROOF_FULL") == "1"


@dataclass(frozen=True, slots=True)
class Run:
    """Result of one run of the suite; `summary` is None when the run ended before it was written.

    `whole`: all tests of the marker were asked.
    """

    code: int
    out: str
    reports: Path
    seconds: float
    summary: dict[str, Any] | None
    whole: bool = False

    def ids(self, outcome: str) -> set[str]:
        """Ids of the tests with this outcome, without their folder."""
        tests = self.summary["tests"] if self.summary else []
        return {test["id"].rpartition("/")[2] for test in tests if test["outcome"] == outcome}

    @property
    def refused_by(self) -> set[str]:
        """Tests that failed."""
        return self.ids("failed")

    @property
    def messages(self) -> str:
        """First lines of all failures and errors."""
        tests = self.summary["tests"] if self.summary else []
        return "\n".join(test["message"] for test in tests if test["outcome"] in ("failed", "error"))

    @property
    def junit(self) -> ET.Element:
        """The JUnit file, parsed."""
        return ET.parse(self.reports / "junit.xml").getroot()


def run_suite(folder: Path, *args: str, env: dict[str, str] | None = None, timeout_s: float = 300) -> Run:
    """Run `pytest -m smoke` in a process of its own with the given arguments; reports go to `folder`."""
    reports = folder / "reports"
    if first_day.FIRST_DAY:
        folder.mkdir(parents=True, exist_ok=True)
        args = (*first_day.options(args, folder),)
    argv = [sys.executable, "-m", "pytest", "-q", "-m", "smoke", f"--vlm-reports={reports}", *args]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_"))}
    clean["VLM_LANG"] = "en"  # whatever the locale of this machine
    began = time.monotonic()
    done = subprocess.run(
        argv, cwd=ROOT, env={**clean, **(env or {})}, capture_output=True, text=True,
        timeout=timeout_s * (20 if WHOLE else 1), check=False,
    )  # fmt: skip
    path = reports / "latest" / "summary.json"
    summary = json.loads(path.read_text("utf-8")) if path.is_file() else None
    whole = not any("tests/acceptance/" in arg for arg in args)
    return Run(done.returncode, done.stdout + done.stderr, reports, time.monotonic() - began, summary, whole)
