"""The commands of the last release: each does what its new name does, and names it in one line on standard error."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.runs import ROOT, clean_env


def started(module: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", f"vlm_acceptance.{module}", "--help"]
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("former", "new"), [("mmmu", "accuracy.mmmu"), ("compare", "run.compare")])
def test_a_former_command_works_and_names_the_new_one(former: str, new: str) -> None:
    wanted, done = started(new), started(former)
    assert done.returncode == wanted.returncode == 0
    assert done.stdout == wanted.stdout
    assert done.stderr == f"python -m vlm_acceptance.{former} is now python -m vlm_acceptance.{new}\n"


def test_the_former_names_are_packages_so_that_they_are_installed() -> None:
    folder = ROOT / "src" / "vlm_acceptance" / "run" / "former_names"
    assert (folder / "__init__.py").is_file()
    assert (folder / "mmmu" / "__init__.py").is_file()
