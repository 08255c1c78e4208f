"""`vlm-acceptance judge`: the folder first, then the options of a run; what is wrong is one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vlm_acceptance.cli import judge
from vlm_acceptance.cli.main import main

SUMMARY = {"schema": "vlm-acceptance/summary/1", "scope": {"seed": 7, "deployment": "launched", "profile": "p"}}


def stored(folder: Path, *command: str) -> Path:
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({**SUMMARY, "command": ["pytest", *command]}), "utf-8")
    return folder


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of the runs that are started."""
    seen: list[list[str]] = []

    def run(args: Sequence[str]) -> int:
        seen.append(list(args))
        return 11

    monkeypatch.setattr(judge.runs, "main", run)
    return seen


@pytest.mark.parametrize(
    ("command", "mark"),
    [
        (["-m", "smoke"], "smoke"),
        (["-mslow", "-q"], "slow"),
        (["-m=smoke or slow"], "nightly"),
        (["-q"], "nightly"),
        (["-m", "slow or smoke"], "nightly"),
    ],
    ids=str,
)
def test_the_tests_are_those_of_the_run(command: list[str], mark: str, tmp_path: Path, given: list[list[str]]) -> None:
    run = stored(tmp_path / "run", *command)
    assert main(["judge", str(run)]) == 11
    assert given == [[mark, f"--vlm-judge={run}"]]


def test_options_follow_the_folder(tmp_path: Path, given: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "run", "-m", "smoke")
    monkeypatch.chdir(tmp_path)
    words = ["run", "--vlm-set", "a=1", "-m", "slow", "--profile=x", "--", "-k", "-m", "--help"]
    assert main(["judge", *words]) == 11
    rest = ["--vlm-set", "a=1", "--profile=x", "--", "-k", "-m", "--help"]
    assert given == [["slow", f"--vlm-judge={tmp_path}/run", *rest]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the folder of a finished run first"),
        (["--vlm-profile", "x"], "name the folder of a finished run first"),
        (["{}/absent"], "the folder '{}/absent' does not exist; give the folder of a run: reports/latest"),
        (["{}"], "'{}' is not the folder of a finished run: summary.json cannot be read"),
        (["{}/run", "-m"], "-m: its value is missing, give -m smoke|slow|nightly"),
        (
            ["{}/run", "-m", "smok"],
            "-m: 'smok' is not a run; it is one of: smoke, slow, nightly. Did you mean 'smoke'?",
        ),
        (["{}/run", "-m=x"], "-m: 'x' is not a run; it is one of: smoke, slow, nightly."),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(
    words: list[str], said: str, tmp_path: Path, given: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "run")
    assert main(["judge", *(word.replace("{}", str(tmp_path)) for word in words)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert said.replace("{}", str(tmp_path)) in line
    assert given == []


def test_help_is_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: vlm-acceptance judge RUN")


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": 3}', "{", '{"schema": "other/1"}'])
def test_a_summary_of_another_kind_is_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[list[str]]
) -> None:
    (tmp_path / "summary.json").write_text(content, "utf-8")
    assert main(["judge", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not the folder of a finished run: summary.json" in line
    assert given == []
