"""report.xlsx: the stored figures, a sheet for each kind; no text of a run becomes a formula."""

from __future__ import annotations

import importlib
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support import stored_figures as made

from vlm_acceptance.report import figures_workbook

openpyxl = pytest.importorskip("openpyxl")


def sheets(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    content = figures_workbook.workbook(folder)
    assert content is not None
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: [tuple(cell.value for cell in row) for row in sheet.iter_rows()] for sheet in book}


def test_each_kind_of_figure_has_its_sheet(tmp_path: Path) -> None:
    assert list(sheets(made.whole(tmp_path))) == [
        "tests", "latency", "soak answers", "soak readings", "soak trends", "capacity", "accuracy", "letters",
        "changed answers", "log probabilities",
    ]  # fmt: skip


def test_a_run_without_figures_has_its_tests(tmp_path: Path) -> None:
    found = sheets(made.stored(tmp_path, {}, {"tests": made.summary()["tests"]}, {}))
    assert found == {
        "tests": [("area", "test", "outcome", "seconds", "message"), ("health", "t.py::test_0", "passed", 1, None)]
    }


def test_the_figures_are_those_that_are_stored(tmp_path: Path) -> None:
    found = sheets(made.whole(tmp_path))
    soak, report = made.soak(), made.accuracy()
    columns = ("began_s", "ttft_s", "tpot_s", "e2e_s", "tokens")
    for place, name in enumerate(columns):  # openpyxl writes 16 digits
        seen = [row[place] for row in found["soak answers"][1:]]
        assert seen == [None if value is None else pytest.approx(value) for value in soak["answers"][name]]
    assert found["soak readings"][5][:3] == (4, 12, 8)
    assert found["soak trends"][4][:5] == ("rss_mb", 0.05, -0.02, 0.12, 0.5)
    samples = [sample for row in made.latency()["categories"].values() for sample in row["samples"]]
    assert [row[4] for row in found["latency"][1:]] == pytest.approx([sample["e2e_s"] for sample in samples])
    assert [row[1] for row in found["latency"][1:]] == [sample["cold"] for sample in samples]
    assert found["latency"][1][6:] == (0.3, 0.03, 1.5)
    assert len(found["capacity"]) == 9 and found["capacity"][1][:4] == ("text-512", 512, 4, 1)
    assert found["accuracy"][2] == (
        "subject",
        "Art",
        20,
        30,
        30,
        pytest.approx(report["subjects"]["Art"]["share"]),
        0.49,
        0.81,
    )
    assert found["letters"][3] == ("C", None, 5)
    assert found["log probabilities"][4][:3] == ("test_logprobs", "p3", 0.003)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")', "={1}"])
def test_no_text_becomes_a_formula(tmp_path: Path, text: str) -> None:
    report = made.accuracy()
    report["comparison"]["lost"][0]["now"] = text
    summary = {"tests": [{"id": text, "area": text, "outcome": text, "seconds": text, "message": text}]}
    content = figures_workbook.workbook(made.stored(tmp_path, {}, summary, report))
    assert content is not None
    parts = zipfile.ZipFile(io.BytesIO(content))
    for name in parts.namelist():
        if name.startswith("xl/worksheets/"):
            xml = parts.read(name).decode()
            assert "<f>" not in xml and "<f " not in xml and 't="f"' not in xml
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for row in book["tests"].iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} == {"s"} and all(cell.quotePrefix for cell in cells)
    assert {cell.value for cell in cells} == {text.replace("\t", "\t")}


@pytest.mark.parametrize(
    "odd", ["\x00\x1b[2J", "x" * 40_000, "\ud800", "_x0041_", float("inf"), 10**400, True, None, [1], {"a": 1}]
)
def test_any_value_makes_a_readable_workbook(tmp_path: Path, odd: Any) -> None:
    folder = made.whole(tmp_path)
    row = {"id": odd, "area": odd, "outcome": odd, "seconds": odd, "message": odd}
    capacity = [{"prompt": odd, "steps": [{"concurrency": odd, "ttft_s": odd, "state": odd}]}]
    (folder / "summary.json").write_text(json.dumps({"tests": [row], "capacity": capacity}, default=str), "utf-8")
    if odd in (float("inf"), 10**400):  # no JSON
        assert figures_workbook.workbook(folder) is None
    else:
        cells = [cell for row in sheets(folder)["tests"][1:] for cell in row]
        assert {type(cell) for cell in cells} <= {str, bool, type(None)}
        assert all(len(cell) <= 10_000 for cell in cells if isinstance(cell, str))


@pytest.mark.parametrize("name", made.observations())
@pytest.mark.parametrize(
    "odd", [None, [], {}, "x", 1, [[{}]], {"categories": [1]}, {"fits": {"a": []}, "answers": {"began_s": 3}}]
)
def test_any_observation_makes_a_workbook(tmp_path: Path, name: str, odd: Any) -> None:
    assert "tests" in sheets(made.stored(tmp_path, {name: odd}, made.summary(), odd))


@pytest.mark.parametrize("described", [[], 1, "x", None])
def test_a_summary_that_is_none_makes_no_workbook(tmp_path: Path, described: Any) -> None:
    assert figures_workbook.workbook(made.stored(tmp_path, {}, described, {})) is None


def test_without_openpyxl_there_is_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError):
        importlib.import_module("openpyxl")
    folder = made.whole(tmp_path)
    assert figures_workbook.write(folder) is None
    assert not list(folder.glob("*.xlsx*"))


def test_the_workbook_is_written_beside_the_page(tmp_path: Path) -> None:
    folder = made.whole(tmp_path)
    assert figures_workbook.write(folder) == folder / "report.xlsx"
    assert [path.name for path in folder.glob("*report.xlsx*")] == ["report.xlsx"]
