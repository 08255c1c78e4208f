"""The table of commands: found, described and ended with the suite's exit codes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.pages import RUN
from tests.support.runs import ROOT, clean_env

from vlm_acceptance import __version__
from vlm_acceptance.cli import main as front
from vlm_acceptance.cli.main import COMMANDS, Command, main
from vlm_acceptance.config.options import OPTIONS
from vlm_acceptance.report.html import render

# what another package would slow down or break: the overview needs none of them
LATE = ("pytest", "requests", "vlm_acceptance.run", "vlm_acceptance.engine")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["smoke", "--help"], ["plan", "slow", "-h"]], ids=str)
def test_help_shows_every_command_and_option_on_one_page(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    page = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in page] == []
    assert [option.name for option in OPTIONS if f"\n  --{option.name} " not in page] == []
    assert len(page.splitlines()) < 60
    assert max(map(len, page.splitlines())) <= 120


def test_help_imports_neither_pytest_nor_an_engine() -> None:
    code = "import sys; from vlm_acceptance.cli.main import main; main(['-h']); print(set(sys.modules) & set(sys.argv))"
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    argv = [sys.executable, "-c", code, *LATE]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vlm-acceptance {__version__}\n"


def test_an_unknown_command_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smok", "--profile", "x"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no command 'smok'; there are: smoke, slow, nightly, plan")
    assert line.endswith("Did you mean 'smoke'?")


@pytest.mark.parametrize("name", ["smoke", "plan"])
def test_a_wrong_option_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--vlm-profil", "x"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown option '--vlm-profil'" in line


def test_a_package_that_is_absent_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(front.COMMANDS, "smoke", Command("", "no_such_package.module"))
    assert main(["smoke"]) == 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "no_such_package, which this command needs, is not installed" in line
    assert "-m pip check" in line


def test_pytest_that_is_absent_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vlm_acceptance.cli.run.PARTS", {"no_such_module": "pytest-timeout"})
    assert main(["smoke"]) == 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "pytest-timeout must be installed beside the suite" in line


@pytest.mark.parametrize("name", ["calibrate", "compare", "mmmu", "report"])
def test_other_commands_are_reached_and_refuse_with_the_code_of_a_wrong_usage(name: str) -> None:
    assert main([name, "--no-such-option"]) == 4


@pytest.mark.parametrize("name", ["calibrate", "compare", "mmmu", "mmmu ask"])
def test_a_usage_line_names_the_command_that_was_started(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: vlm-acceptance {name} ")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_the_help_of_a_report_is_no_mistake(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", word]) == 0
    shown = capsys.readouterr()
    assert (shown.out.splitlines()[0], shown.err) == (
        "usage: vlm-acceptance report RUN..., or --history [REPORTS]",
        "",
    )


def test_an_interrupted_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("vlm_acceptance.cli.doctor.main", interrupted)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at the end", "at the first line"])
def test_a_reader_that_leaves_is_no_rejection_and_no_traceback(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = clean_env({"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": unbuffered})
    argv = [sys.executable, "-m", "vlm_acceptance", "--help"]
    done = subprocess.run(argv, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (10, "")


def test_a_full_disk_under_the_output_is_one_line() -> None:
    env = clean_env({"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": ""})
    argv = [sys.executable, "-m", "vlm_acceptance", "--version"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 10
    (line,) = done.stderr.splitlines()
    assert line == "error: standard output cannot be written: No space left on device"


def test_the_package_can_be_run() -> None:
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    argv = [sys.executable, "-m", "vlm_acceptance", "mmmu", "prepair"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "'prepare'" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("folder", "says"),
    [("nowhere", "does not exist"), ("broken", "report.html was not made")],
)
def test_a_report_of_no_run_is_one_line(
    folder: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "summary.json").write_text("{", "utf-8")
    assert main(["report", str(tmp_path / folder)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_the_page_of_a_stored_run_is_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    page = render(run)
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run}/report.html\n"
    assert (run / "report.html").read_text("utf-8") == page
    assert [path.name for path in run.glob("*.part")] == []
