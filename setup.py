"""Puts into the wheel what a run needs beside src/: conftest.py, acceptance tests, fixtures, settings of pytest."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
SUITE = ("conftest.py", "tests/acceptance", "fixtures")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.py[cod]")
SETTINGS = re.compile(r"^\[tool\.pytest\.ini_options\]\n.*?(?=^\[|\Z)", re.MULTILINE | re.DOTALL)


class BuildWithSuite(build_py):
    """The build of the package, and of `vlm_acceptance/suite/`. An editable installation uses the checkout itself."""

    def run(self) -> None:
        """Build both."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        suite = Path(self.build_lib) / "vlm_acceptance" / "suite"
        shutil.rmtree(suite, ignore_errors=True)  # files of an earlier build
        for name in SUITE:
            (suite / name).parent.mkdir(parents=True, exist_ok=True)
            if (HERE / name).is_dir():
                shutil.copytree(HERE / name, suite / name, ignore=UNWANTED)
            else:
                shutil.copy2(HERE / name, suite / name)
        (suite / "pyproject.toml").write_text(settings((HERE / "pyproject.toml").read_text("utf-8")), "utf-8")


def settings(project: str) -> str:
    """The section of pytest's settings alone, without the folders of a checkout."""
    found = SETTINGS.search(project)
    if found is None:
        raise SystemExit("pyproject.toml has no section [tool.pytest.ini_options]")
    return "".join(line for line in found[0].splitlines(keepends=True) if not line.startswith("pythonpath"))


setup(cmdclass={"build_py": BuildWithSuite})
