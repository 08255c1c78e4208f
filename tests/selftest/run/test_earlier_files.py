"""A run takes away the JUnit file of an earlier one, and never the only copy of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.runs import HEAD, PASSES, accept
from tests.support.wire import Answer, WireServer, endpoint

from vlm_acceptance.run.outputs import keep_earlier


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the JUnit files of two runs."""
    for name, text in (("first", "<a/>"), ("second", "<b/>")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "junit.xml").write_text(text, "utf-8")
    return tmp_path / "runs"


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.xml")}


def test_a_copy_of_what_a_run_holds_is_removed(runs: Path) -> None:
    before = files(runs)
    xml = runs.parent / "junit.xml"
    xml.write_text("<a/>", "utf-8")
    keep_earlier(xml, runs)
    assert not xml.exists()
    assert files(runs) == before


def test_the_only_copy_is_moved_to_the_runs(runs: Path) -> None:
    before = files(runs)
    xml = runs.parent / "junit.xml"
    xml.write_text("<c/>", "utf-8")
    os.utime(xml, (1_700_000_000.25, 1_700_000_000.25))
    keep_earlier(xml, runs)
    assert not xml.exists()
    assert files(runs) == {**before, "20231114T221320.250000Z-junit.xml": "<c/>"}


def test_the_first_run_has_nothing_to_keep(tmp_path: Path) -> None:
    keep_earlier(tmp_path / "junit.xml", tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_stays(runs: Path) -> None:
    link, pipe = runs.parent / "link", runs.parent / "pipe"
    link.symlink_to("/dev/null")
    os.mkfifo(pipe)
    for xml in (link, pipe):
        keep_earlier(xml, runs)
    assert link.is_symlink() and pipe.is_fifo()


def test_two_runs_leave_the_files_of_both(
    checkout: Callable[..., Path], tmp_path: Path, wire: Callable[[Answer], WireServer]
) -> None:
    reports, server, root = (
        tmp_path / "reports",
        wire(endpoint(lambda request: None)),
        checkout(test_health=HEAD + PASSES),
    )
    stored = []
    reports.mkdir()
    (reports / "junit.xml").write_text("<of a run that died/>", "utf-8")
    for _ in range(2):
        assert accept(root, reports, server.url).code == 0
        stored.append((reports / "junit.xml").read_bytes())
    kept = sorted(reports.glob("runs/*/"))
    assert [(folder / "junit.xml").read_bytes() for folder in kept] == stored
    assert all(
        {"verdict.txt", "summary.json", "report.html"} <= {path.name for path in folder.iterdir()} for folder in kept
    )
    assert [path.read_text("utf-8") for path in reports.glob("runs/*.xml")] == ["<of a run that died/>"]
    assert (reports / "latest").resolve() == kept[-1].resolve()
