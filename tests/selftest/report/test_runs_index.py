"""The list of runs: every run with its verdict, rewritten after each, whatever lies in the folder."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest
from tests.support.made_context import ACCEPTED, context_of
from tests.support.made_history import nights, rejected, summary_of, write_run
from tests.support.still_pages import still

from vlm_acceptance.report import runs_index
from vlm_acceptance.report.history import write_history
from vlm_acceptance.report.runs_index import rewrite_index, write_index
from vlm_acceptance.run.outputs import write_run as finish


def test_the_list_has_every_run_the_newest_first(tmp_path: Path) -> None:
    made = nights(tmp_path, 3, edits={1: rejected("3")})
    (made[2] / "report.html").write_text("", "utf-8")
    (made[2] / "verdict.txt").write_text("", "utf-8")
    read = still(write_index(tmp_path).read_text("utf-8"))
    assert "The newest run: ACCEPTED" in read.text("header")
    table = read.text("table")
    assert "2026-11-03 02:00:00 ACCEPTED p org/model 40 / 40 2 min" in table
    assert "REJECTED p org/model 39 / 40 2 min" in table and "the picture was not seen" in table
    hrefs = [attrs["href"] for attrs in read.all("a")]
    assert "runs/20261103T020000Z-p/report.html" in hrefs and "runs/20261103T020000Z-p/verdict.txt" in hrefs
    assert all((tmp_path / str(href)).exists() for href in hrefs)
    dates = [words for words in table.split() if words.startswith("2026-")]
    assert dates == sorted(dates, reverse=True)


def test_it_links_to_the_history_once_there_is_one(tmp_path: Path) -> None:
    nights(tmp_path, 2)
    assert "history.html" not in write_index(tmp_path).read_text("utf-8")
    write_history(tmp_path)
    assert 'href="history.html"' in write_index(tmp_path).read_text("utf-8")


def test_it_is_written_after_a_run(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    finish(context, ACCEPTED)
    read = still((tmp_path / "index.html").read_text("utf-8"))
    assert "ACCEPTED (control)" in read.text("table")
    assert f"runs/{context.store.folder.name}/report.html" in {attrs["href"] for attrs in read.all("a")}


def test_a_list_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    nights(tmp_path, 1)
    (tmp_path / "index.html").mkdir()
    (note,) = rewrite_index(tmp_path)
    assert note.startswith("  note: ") and "cannot be written" in note
    assert list(tmp_path.glob(".*.part")) == []


def test_a_fault_of_the_list_costs_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_reports: Path) -> Path:
        raise TypeError("not what it should be")

    monkeypatch.setattr(runs_index, "write_index", broken)
    assert rewrite_index(tmp_path) == ["  note: not what it should be"]


def test_without_runs_the_list_says_so(tmp_path: Path) -> None:
    assert "There is no finished run yet." in still(write_index(tmp_path).read_text("utf-8")).text()


def test_broken_folders_are_counted(tmp_path: Path) -> None:
    nights(tmp_path, 1)
    for name in ("20270101T000000Z-x", "\N{SNOWMAN}", "a b"):
        (tmp_path / "runs" / name).mkdir()
    (tmp_path / "runs" / "a b" / "summary.json").write_text("{", "utf-8")
    (tmp_path / "runs" / "file").write_text("", "utf-8")
    assert "3 folder(s) hold no summary that can be read." in still(write_index(tmp_path).read_text("utf-8")).text()


def test_of_many_runs_the_newest_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_index, "MOST", 5)
    nights(tmp_path, 8)
    read = still(write_index(tmp_path).read_text("utf-8"))
    assert "2026-11-08" in read.text() and "2026-11-03" not in read.text()
    assert "3 older run(s) are left out." in read.text()


def test_runs_that_end_together_leave_one_whole_list(tmp_path: Path) -> None:
    nights(tmp_path, 5)
    threads = [threading.Thread(target=write_index, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    still((tmp_path / "index.html").read_text("utf-8"))
    assert [path.name for path in tmp_path.iterdir()].count("index.html") == 1
    assert list(tmp_path.glob(".*.part")) == []


def test_no_name_of_a_folder_or_value_of_a_run_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    summary = summary_of(random.Random(1), tmp_path)
    summary["scope"].update(model='"><img src=x onerror=alert(1)>', profile="javascript:alert(1)")
    folder = write_run(tmp_path, 1, json.loads(json.dumps(summary)))
    folder.rename(folder.with_name("javascript:alert(1)"))
    read = still(write_index(tmp_path).read_text("utf-8"))
    assert read.all("img") == [] and read.all("script") == []
    assert all(not str(attrs["href"]).startswith("javascript:") for attrs in read.all("a"))
