"""The proof: the acceptance suite runs, as a user starts it, on deployments that are broken on purpose."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine.installation import find_engine
from vlm_acceptance.engine.process import run_tag
from vlm_acceptance.engine.server import Deployment, launch

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the stand-ins are scripts, not a package

import first_day
import matrix
import owners
import part
from acceptance_runs import PROOF, WHOLE, Run, run_suite
from first_day import FIRST_DAY
from owners_first_day import NOT_REFUSED
from tests.support.interrupts import interrupts_are_heard  # noqa: F401  (a fixture)

ROWS = pytest.StashKey[list[matrix.Row]]()


Accept = Callable[..., Run]
Prove = Callable[..., None]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.addinivalue_line("markers", "fault(name): the fault that a test is about")
    config.addinivalue_line("markers", "part: among the tests of `make test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the faults of part.PART, which `make test` runs; a run of the whole suite has no time limit.

    The first day plants faults of a deployment alone: tests without one are left out.
    """
    others = []
    for item in items:
        if item.path.parent != PROOF:
            continue  # a selftest of the stand-ins: no row of the matrix
        if WHOLE or FIRST_DAY:
            item.add_marker(pytest.mark.timeout(0))
        fault = fault_of(item)
        if fault in part.PART:
            item.add_marker(pytest.mark.part)
        if FIRST_DAY and fault not in matrix.of_deployments():
            others.append(item)
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


def fault_of(item: pytest.Item) -> str | None:
    """The fault that a test is about, by its parameter or its mark."""
    call = getattr(item, "callspec", None)
    fault = call.params.get("fault") if call and "prove" in item.fixturenames else None
    return next((mark.args[0] for mark in item.iter_markers("fault")), fault)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the matrix to PROOF_REPORTS (`part` for a narrowed session); a whole one fails when a row is missing."""
    config = session.config
    rows = config.stash[ROWS]
    narrowed = config.option.keyword or config.option.markexpr or [Path(arg).name for arg in config.args] != ["proof"]
    if not rows or config.option.collectonly:
        return
    missing = matrix.write(rows, first_day.REPORTS, "part" if narrowed else "matrix", WHOLE)
    if missing and not narrowed:
        sys.stdout.write(f"\nthe matrix is not whole; faults that were not tried: {', '.join(missing)}\n")
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def whole_suite() -> bool:
    """Whether mutants and wire faults run against the whole suite: PROOF_FULL=1, `make proof FULL=1`."""
    return WHOLE


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of the faults that draw at random: PROOF_SEED, 1 by default."""
    return int(os.environ.get("PROOF_SEED", "1"))


@pytest.fixture
def prove(request: pytest.FixtureRequest) -> Prove:
    """`prove(fault, run)` records a row of the matrix and fails unless all owners of the fault refused it.

    `prove(fault, seen="...", seconds=1.0)` is for a fault of owners.OURS, which the suite itself must survive: `seen`
    says in words what the test asserted. With a run, `seen` is the distance of a mutant of owners.DISTANT.
    """

    def note(fault: str, run: Run | None = None, *, seen: str = "", seconds: float = 0.0) -> None:
        if FIRST_DAY and run is not None:
            note_first_day(fault, run)
        if run is None:
            assert fault in owners.OURS, f"{fault} is not among owners.OURS"
            row = matrix.Row(fault, "ours", "borne", (), (), (), 0, round(seconds, 1), seen)
        else:
            tests = run.summary["tests"] if run.summary else []
            first = next((cause["id"] for cause in run.summary["causes"]), "") if run.summary else ""
            row = matrix.row_of(fault, ((test["id"], test["outcome"]) for test in tests), run.seconds, first, seen)
            keep(fault, run)
        request.config.stash[ROWS].append(row)
        assert not row.flaw, f"{row.flaw}\n{run.out if run else ''}"

    return note


def note_first_day(fault: str, run: Run) -> None:
    """Store the row of the first day, and end the test: what follows in it is about a deployment that is known.

    It fails if a fault is not refused, and owners_first_day does not say why, or says so of one that is.
    """
    row = first_day.note(fault, run)
    keep(fault, run)
    expected = fault not in NOT_REFUSED and fault not in matrix.undecided()
    assert row.is_refused == expected, f"{row}\n{run.out}"
    pytest.skip(f"first day: {row.kind}")


def keep(fault: str, run: Run) -> None:
    """Copy what causes are read from, and the terminal's output, to PROOF_KEEP/FAULT where that is set."""
    folder = os.environ.get("PROOF_KEEP")
    if not folder:
        return
    place = Path(folder, fault)
    place.mkdir(parents=True, exist_ok=True)
    (place / "terminal.txt").write_text(run.out, "utf-8")
    for name in ("results.jsonl", "summary.json"):
        if (run.reports / "latest" / name).is_file():
            shutil.copyfile(run.reports / "latest" / name, place / name)


@pytest.fixture
def accept(tmp_path: Path) -> Accept:
    """`run_suite` with reports in a folder of the test."""
    return partial(run_suite, tmp_path)


def control_engine(log: Path, api_key: str | None = None, profile: str = "control-cpu") -> Iterator[Deployment]:
    """A control on the real engine, as its profile starts it; with `api_key` the engine demands it."""
    # other runs beside this one make a start slow
    patient = ("engine.start_timeout_s", "1200", "the proof")
    wanted = load_profile(profile, PROFILES, [patient]).profile
    weights = ROOT / str(wanted.model.path)
    engine = find_engine(None, None, os.environ)
    deployment = launch(
        wanted, engine.command, weights, os.environ, log, run_tag(), api_key=api_key, progress=lambda _: None
    )
    assert deployment.ready, deployment.stages[-1].detail
    yield deployment
    deployment.stop()


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The control on the real engine, shared by all wire faults."""
    yield from control_engine(tmp_path_factory.mktemp("control") / "server.log")


@pytest.fixture
def keyed_control(tmp_path: Path) -> Iterator[Deployment]:
    """The control on a real engine that demands an API key; its client sends it."""
    yield from control_engine(tmp_path / "server.log", secrets.token_hex(16))


@pytest.fixture
def stand_in_engine(tmp_path: Path) -> Path:
    """An executable `vllm` that behaves as VLM_STANDIN says."""
    path = tmp_path / "bin" / "vllm"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROOF}/standins/scripted_engine.py' \"$@\"\n", "utf-8")
    path.chmod(0o755)
    return path
