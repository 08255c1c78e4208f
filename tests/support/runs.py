"""pytest as a user starts it, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.warm import warm_pytest

ROOT = Path(__file__).resolve().parents[2]

# parts of acceptance modules, for small checkouts
HEAD = """
import pytest
from vlm_acceptance.checks import completion
from vlm_acceptance.core.errors import DeploymentFailure, EnvironmentProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import FAILURE, FindingClass
from vlm_acceptance.core.errors import NotRun
pytestmark = pytest.mark.smoke
WRONG = Finding(FindingClass("a.check", "a title", FAILURE), "this", "that")
"""
PASSES = '''
def test_passes(client, findings):
    """It MUST answer."""
    exchange = client.chat("one two")
    findings.add(completion.answered(exchange.reply), exchange)
    findings.note(answer=exchange.reply.text)
'''
FAILS = '''
def test_fails(client, findings):
    """It MUST be this."""
    findings.note(figure=3)
    findings.add([WRONG], client.chat("one two"))
'''
ERRS = '''
def test_errs():
    """It MUST be found."""
    raise EnvironmentProblem("no such card")
'''


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit code and output of a pytest process."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        return self.out + self.err

    @property
    def problems(self) -> list[str]:
        """Lines that report an error to the user."""
        return [line for line in self.output.splitlines() if line.startswith("ERROR:")]


def clean_env(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without variables that configure pytest or the suite."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_", "PYTHON"))}
    return {**kept, **(more or {})}


def pytest_argv(args: Sequence[str]) -> list[str]:
    cache = [] if "--lf" in args else ["-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", "-q", "--color=no", *cache, *args]


def pytest_run(*args: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Ran:
    """Run pytest in `cwd` with these arguments and more environment variables."""
    done = subprocess.run(
        pytest_argv(args), cwd=cwd, env=clean_env(env), capture_output=True, text=True, timeout=120, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def warm_run(*args: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Ran:
    """The same in a quarter of the time: forked after its imports, so no variable changes the interpreter itself."""
    _, _, _, *given = pytest_argv(args)
    return Ran(*warm_pytest(cwd).run(given, cwd, clean_env(env)))


def accept(root: Path, reports: Path, url: str, *args: str, env: Mapping[str, str] | None = None) -> Ran:
    """Run the acceptance tests of a small checkout against an endpoint."""
    given = ("--vlm-profile=quick", f"--vlm-base-url={url}", f"--vlm-reports={reports}")
    return warm_run("-m", "smoke", *given, *args, cwd=root, env=env)


def summary_of(reports: Path) -> dict[str, Any]:
    """summary.json of the latest run."""
    found: dict[str, Any] = json.loads((reports / "latest" / "summary.json").read_text("utf-8"))
    return found


def results_of(reports: Path) -> list[dict[str, Any]]:
    """Complete rows of results.jsonl of the only run."""
    text = next(reports.glob("runs/*/results.jsonl")).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def junit_of(reports: Path) -> ET.Element:
    """The only test suite in the JUnit file."""
    suite = ET.parse(reports / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    return suite


def script(name: str) -> ModuleType:
    """A script of `scripts/` as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def eventually(holds: Callable[[], bool], within_s: float = 30) -> bool:
    """Whether it holds within this time; evaluated every 20 ms."""
    ends = time.monotonic() + within_s
    while not holds():  # not evaluated again after it held: it may not hold any more
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True
