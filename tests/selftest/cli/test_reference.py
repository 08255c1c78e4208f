"""`vlm-acceptance reference` computes where torch is: here, in the engine's interpreter, or in a named one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.runs import ROOT, clean_env

from vlm_acceptance.cli import reference
from vlm_acceptance.cli.main import main
from vlm_acceptance.reference import __main__ as commands

# prints how it was called, as a stand-in for an interpreter
SCRIPT = r"""#!/bin/sh
case "$2" in "from importlib"*) echo lacks:; exit 0;; esac
for word in "$@"; do echo "word: $word"; done
echo "program: $VLM_REFERENCE_PROGRAM"
exit 7
"""


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """A stand-in for another interpreter."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text(SCRIPT, "utf-8")
    path.chmod(0o755)
    return path


def called(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "vlm_acceptance", "reference", *words]
    return subprocess.run(argv, env=clean_env({"PYTHONPATH": str(ROOT / "src")}), capture_output=True, text=True)


def test_the_named_interpreter_gets_the_words_and_gives_the_exit_code(other_python: Path) -> None:
    done = called("record", "--engine-python", str(other_python), "--model", "x y", "--out", "o")
    lines = done.stdout.splitlines()
    assert done.returncode == 7
    words = (str(ROOT / "src"), "record", "--model", "x y", "--out", "o")
    assert lines[-7:-1] == [f"word: {word}" for word in words]
    assert lines[-1] == "program: vlm-acceptance reference"


def test_our_packages_come_behind_those_of_the_interpreter(tmp_path: Path) -> None:
    done = called(f"--engine-python={sys.executable}", "compare", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: vlm-acceptance reference compare")


def test_an_interpreter_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["reference", "record", "--engine-python", str(tmp_path / "absent")]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "--engine-python" in line
    assert "is not a Python interpreter" in line


def test_a_file_that_cannot_be_started_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no program", "utf-8")
    assert main(["reference", "record", f"--engine-python={notes}"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be started" in line


def test_a_program_that_is_no_python_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "record", "--engine-python=/bin/echo"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "'/bin/echo' is not a Python interpreter" in line


def test_an_interpreter_without_torch_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'lacks:torch, transformers'\n", "utf-8")
    python.chmod(0o755)
    assert main(["reference", "record", f"--engine-python={python}"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "lacks torch, transformers: name the interpreter in which vLLM is installed" in line


def test_without_torch_and_without_an_engine_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "NEEDED", ("torch_of_nobody",))
    monkeypatch.setenv("PATH", "")
    assert main(["reference", "record", "--model", "m", "--out", "o"]) == 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "torch_of_nobody not installed in" in line
    assert "--engine-python VENV/bin/python" in line


def test_the_engines_interpreter_is_taken_when_torch_is_not_here(
    other_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(reference, "NEEDED", ("torch_of_nobody",))
    monkeypatch.setattr(reference, "_python_of_engine", lambda: other_python)

    def execve(python: Path, argv: list[str], env: dict[str, str]) -> None:
        started.append(argv)
        raise SystemExit(0)

    monkeypatch.setattr(reference.os, "execve", execve)
    main(["reference", "record", "--model", "m"])
    assert started[0][0] == str(other_python)
    assert started[0][-3:] == ["record", "--model", "m"]


def test_commands_that_only_read_need_no_torch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "NEEDED", ("torch_of_nobody",))
    baseline = str(ROOT / "fixtures" / "baselines" / "control.jsonl")
    before = dict(os.environ)
    assert main(["reference", "compare", baseline, baseline]) == 0
    assert "within 0.0001" in capsys.readouterr().out
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", list(commands.COMMANDS))
def test_the_overview_names_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference"]) == 0
    assert f"\n  {name} " in capsys.readouterr().out
