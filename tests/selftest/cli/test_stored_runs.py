"""`report` and `compare` of stored runs: what they write and print, and mistakes in one line."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.made_history import nights, slower
from tests.support.pages import RUN
from tests.support.still_pages import still

from vlm_acceptance.cli.main import main
from vlm_acceptance.run import compare


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of reports with thirty nights, in the current folder."""
    monkeypatch.delenv("VLM_REPORTS", raising=False)
    monkeypatch.chdir(tmp_path)
    made = nights(tmp_path / "reports", 30, edits={20: slower(1.8)})
    (tmp_path / "reports" / "latest").symlink_to(made[-1].relative_to(tmp_path / "reports"))
    return tmp_path / "reports"


def test_several_runs_are_rendered_again_and_listed(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(RUN, reports / "runs" / "20261215T080000Z-control-cpu"))
    assert main(["report", str(run), "reports/latest"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run}/report.html",
        f"{reports}/runs/20261130T020000Z-p/report.html",
    ]
    assert "REJECTED" in (run / "report.html").read_text("utf-8")
    assert "runs/20261215T080000Z-control-cpu/report.html" in (reports / "index.html").read_text("utf-8")


def test_the_history_of_the_current_reports_is_written_and_its_words_printed(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--history"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "p, org/model, launched: 30 runs"
    assert "On 2026-11-21: TTFT, TPOT, E2E of ocr" in "\n".join(shown)
    assert shown[-1] == f"{reports}/history.html"
    still((reports / "history.html").read_text("utf-8"))
    assert 'href="history.html"' in (reports / "index.html").read_text("utf-8")


def test_two_runs_are_compared(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "reports/runs/20261121T020000Z-p", "reports/latest"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("first:  ACCEPTED  20261121T020000Z-p  (40 of 40 tests passed)")
    assert shown[-1] == f"page: {reports}/compare.html"
    still((reports / "compare.html").read_text("utf-8"))


def test_the_page_of_a_comparison_is_written_where_it_is_wanted(reports: Path, tmp_path: Path) -> None:
    runs = ["reports/runs/20261121T020000Z-p", "reports/latest"]
    assert main(["compare", *runs, "--out", "c.html"]) == 0
    assert 'href="reports/runs/20261130T020000Z-p/report.html"' in (tmp_path / "c.html").read_text("utf-8")
    assert not (reports / "compare.html").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["report"], "give the folder of one run"),
        (["report", "reports"], "'reports' is a folder of reports; name one run of it, for example reports/latest"),
        (["report", "reports/lates"], "'reports/lates' does not exist. Did you mean 'latest'?"),
        (["report", "reports/runs"], "holds no summary.json"),
        (["report", "--histry"], "unknown option '--histry'. Did you mean '--history'?"),
        (["report", "--history", "nowhere"], "--history: the folder 'nowhere' does not exist"),
        (["report", "--history", "."], "holds no finished run"),
        (["report", "--history", "a", "b"], "--history: one folder of reports, and 2 are given"),
        (["compare"], "two folders of runs are needed, and 0 given"),
        (["compare", "reports/latest"], "two folders of runs are needed, and 1 given"),
        (["compare", "reports/latest", "\0"], "does not exist"),
        (["compare", "reports/latest", "x" * 5000], "does not exist"),
        (["compare", "reports/latest", "reports/latest", "--ot", "x"], "unknown option '--ot'. Did you mean '--out'?"),
        (
            ["compare", "reports/latest", "reports/latest", "--out", "no/x"],
            "--out: the folder of 'no/x' does not exist",
        ),
        (["compare", "reports/latest", "reports/latest", "--out", "reports"], "--out: 'reports' is a folder"),
    ],
)
@pytest.mark.usefixtures("reports")
def test_a_mistake_is_one_line_and_exit_code_four(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 4
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert says in line and shown.out == ""


def test_a_page_that_cannot_be_written_is_an_environment_problem(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (reports / "history.html").mkdir()
    assert main(["report", "--history"]) == 10
    assert "history.html cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["", "elsewhere"])
def test_two_profiles_are_compared_in_the_reports_of_the_current_folder(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLM_REPORTS", variable)
    seen: list[str] = []

    def run(command: Sequence[str]) -> int:
        seen.extend(command)
        return 0

    monkeypatch.setattr(compare, "_run", run)
    assert main(["compare", "--profile", "a", "--profile", "b"]) == 0
    folder = tmp_path / (variable or "reports") / "compare"
    assert {f"--vlm-reports={folder}/first", f"--vlm-reports={folder}/second"} <= set(seen)
