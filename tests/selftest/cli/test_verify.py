"""`vlm-acceptance verify`: what it prints, and its exit codes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tests.support.pages import RUN, change
from tests.support.runs import ROOT

from vlm_acceptance.cli.main import main
from vlm_acceptance.engine import weights
from vlm_acceptance.report.attestation import write

MODEL = ROOT / "fixtures" / "control" / "model"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An accepted run of the control's files, attested."""
    folder = Path(shutil.copytree(RUN, tmp_path / "run"))
    files = dataclasses.asdict(weights.fingerprint(MODEL))
    change(folder, lambda s: s.update(verdict="accepted", exit_code=0, model_files=files))
    write(folder)
    return folder


def test_an_unchanged_run_shows_its_chain_and_verdict(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--accepted", "--model", str(MODEL)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    statement = json.loads((run / "attestation.json").read_text("utf-8"))
    evidence = statement["predicate"]["vlmAcceptance"]["evidence"]
    assert first == f"unchanged: {len(evidence)} files; chain {evidence[-1]['annotations']['chain']}"
    assert second.startswith("verdict: accepted, the control (vlm-acceptance/control")


def test_a_changed_line_is_printed_and_ends_with_1(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (run / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    count = len((run / "results.jsonl").read_text("utf-8").splitlines())
    assert main(["verify", str(run)]) == 1
    assert capsys.readouterr().out == f"results.jsonl: line {count} was added\n"


def test_a_rejected_run_is_no_permission(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, lambda s: s.update(verdict="rejected"))
    write(run)
    assert main(["verify", str(run)]) == 0
    assert main(["verify", str(run), "--accepted"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "the verdict is rejected, not accepted"


def test_another_model_is_no_permission(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(MODEL, tmp_path / "other"))
    (other / "generation_config.json").write_text("{}", "utf-8")
    assert main(["verify", str(run), "--model", str(other)]) == 1
    assert capsys.readouterr().out == f"{other}: generation_config.json: not the one that was tested\n"


def test_changed_weights_are_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(MODEL, tmp_path / "other"))
    (path, *_) = other.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["verify", str(run), "--model", str(other)]) == 1
    assert capsys.readouterr().out == f"{other}: weights: not the one that was tested\n"


def test_the_run_of_an_endpoint_permits_no_folder(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, lambda s: s.update(model_files=None))
    write(run)
    assert main(["verify", str(run), "--model", str(MODEL)]) == 1
    assert "it examined an endpoint, not a folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "the following arguments are required: RUN"),
        (["nowhere"], "RUN: 'nowhere' is not a folder"),
        ([str(RUN)], "holds no attestation.json: the run did not finish, or an earlier release made it"),
        (["a", "b"], "unrecognized arguments: b"),
    ],
)
def test_no_attested_run_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *words]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_model_that_is_no_folder_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--model", "nowhere"]) == 4
    assert main(["verify", str(run), "--model", str(run)]) == 4
    first, second = capsys.readouterr().err.splitlines()
    assert "--model: 'nowhere' is not a folder" in first
    assert "holds no *.safetensors" in second


def test_a_broken_statement_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "attestation.json").write_text("{\x1b[2J", "utf-8")
    assert main(["verify", str(run), "--accepted"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("attestation.json is not valid JSON")
