"""pytest from any folder: a folder that holds the acceptance tests among others stands for them alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.runs import HEAD, PASSES, pytest_run


@pytest.fixture
def project(checkout: Callable[..., Path]) -> Path:
    """A small checkout with tests of the suite itself, which cannot even be collected."""
    root = checkout(test_health=HEAD + PASSES)
    for folder in ("selftest", "proof"):
        (root / "tests" / folder).mkdir()
        (root / "tests" / folder / "test_own.py").write_text("raise OSError\n", "utf-8")
    return root


@pytest.mark.parametrize("named", ["{root}", "{root}/tests", "{relative}"])
def test_the_named_checkout_is_its_acceptance_tests(named: str, project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "test_foreign.py").write_text("raise OSError\n", "utf-8")
    ran = pytest_run(
        named.format(root=project, relative=os.path.relpath(project, elsewhere)),
        "--co",
        "-m",
        "smoke",
        "--vlm-profile=quick",
        cwd=elsewhere,
    )
    assert (ran.code, ran.out.splitlines()[0]) == (0, "tests/acceptance/test_health.py::test_passes"), ran.output
    assert "1 test collected" in ran.out


def test_the_current_folder_is_its_acceptance_tests(project: Path) -> None:
    ran = pytest_run(".", "--co", "-m", "smoke", "--vlm-profile=quick", cwd=project)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "tests/acceptance/test_health.py::test_passes"), ran.output


def test_the_tests_of_the_suite_itself_are_collected_where_they_are_named(project: Path) -> None:
    (project / "tests" / "selftest" / "test_own.py").write_text("def test_own(): ...\n", "utf-8")
    ran = pytest_run(str(project / "tests" / "selftest"), "--co", cwd=project)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "tests/selftest/test_own.py::test_own"), ran.output
