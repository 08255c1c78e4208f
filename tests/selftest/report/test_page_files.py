"""Every file of a run is listed on its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.report import page_files
from vlm_acceptance.report.page_files import folders_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "summary.json",
        "server.log",
        "x.part",
        "observations/soak.json",
        "evidence/t/r1/a",
        "evidence/t/r1/b",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345", "utf-8")
    return tmp_path


def test_files_are_listed_by_folder_with_their_sizes(folder: Path) -> None:
    gaps: list[str] = []
    found = {one.name: one.listed for one in folders_of(folder, (), gaps)}
    assert [(row.link.href, row.size) for row in found[""]] == [("server.log", 5), ("summary.json", 5)]
    assert [row.link.href for row in found["observations"]] == ["observations/soak.json"]
    assert [(row.link.name, row.link.href, row.files) for row in found["evidence"]] == [("t/r1", "evidence/t/r1", 2)]
    assert gaps == []


def test_files_that_come_later_are_listed_once(folder: Path) -> None:
    (own, *_) = folders_of(folder, ("junit.xml", "summary.json"), [])
    assert [row.link.name for row in own.listed] == ["junit.xml", "server.log", "summary.json"]


def test_too_many_files_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "MOST_LINKS", 1)
    gaps: list[str] = []
    found = folders_of(folder, (), gaps)
    assert sum(len(one.listed) for one in found) == 1
    assert gaps == ["3 of 4 files are not listed"]
