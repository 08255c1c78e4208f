"""Shared fixtures: wire servers, and small checkouts to run pytest in."""

from __future__ import annotations

import compileall
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.interrupts import interrupts_are_heard  # noqa: F401  (a fixture)
from tests.support.runs import ROOT
from tests.support.wire import Answer, WireServer

from vlm_acceptance.core.language import VARIABLE, set_language

# the texts that tests compare are English, whatever the locale of the developer
os.environ[VARIABLE] = "en"
set_language("en")
QUICK_PROFILE = """name: quick
model: {id: quick-standin}
deadlines: {health_s: 5, request_s: 20, cold_s: 20}
"""


@pytest.fixture(autouse=True)
def environment_is_left_alone() -> Iterator[None]:
    """No test leaves a variable to the next one in its process."""

    def now() -> dict[str, str]:
        # OpenCV sets the path of its libraries when the first test imports it
        return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LD_LIBRARY_"))}

    before = now()
    yield
    assert now() == before


@pytest.fixture
def wire() -> Iterator[Callable[[Answer], WireServer]]:
    """Start wire servers; they are closed when the test ends."""
    started: list[WireServer] = []

    def start(answer: Answer) -> WireServer:
        started.append(WireServer(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def compiled_src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled copy of `src` in the folder of all small checkouts: a warm pytest has imported it."""
    copy = tmp_path_factory.mktemp("compiled") / "checkout" / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    compileall.compile_dir(copy, quiet=2)
    return copy


@pytest.fixture
def checkout(compiled_src: Path) -> Iterator[Callable[..., Path]]:
    """Make a copy of this project with other acceptance tests (module name -> source) and one profile, quick.

    The folder is used again by the next test; only `src` stays.
    """
    root = compiled_src.parent

    def make(**modules: str) -> Path:
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, root / name)
        (root / "fixtures" / "profiles").mkdir(parents=True)
        (root / "fixtures" / "profiles" / "quick.yaml").write_text(QUICK_PROFILE, "utf-8")
        for name in ("baselines", "cases", "images", "schemas"):
            (root / "fixtures" / name).symlink_to(ROOT / "fixtures" / name)
        folder = root / "tests" / "acceptance"
        folder.mkdir(parents=True)
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(source, "utf-8")
        return root

    yield make
    for path in root.iterdir():
        if path != compiled_src:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
