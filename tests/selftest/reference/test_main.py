"""`reference record` and `compare` as a person calls them: exit codes, one line for each mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.reference_standin import PROMPTS
from tests.support.runs import ROOT, clean_env

from vlm_acceptance.core.logprobs import read_baseline
from vlm_acceptance.core.reference_file import read_about
from vlm_acceptance.reference import routes
from vlm_acceptance.reference.__main__ import COMMANDS, main
from vlm_acceptance.stats.spread import spread

CONTROL = ROOT / "fixtures" / "control" / "model"
BASELINE = ROOT / "fixtures" / "baselines" / "control.jsonl"


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 4) -> str:
    """The one line of a mistake."""
    assert main(list(words)) == code
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line


def test_the_control_is_recorded_and_equals_its_baseline(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "reference.jsonl"
    words = ["record", "--model", str(CONTROL), "--out", str(out), "--prompts", "3", "--threads", "1"]
    assert main([*words, "--vllm", "0.18.0"]) == 0
    assert capsys.readouterr().out == f"written: {out} (3 prompts, as vLLM 0.18.0 serves them)\n"
    about = read_about(out)
    assert about.origin is not None
    assert (about.origin.top, about.origin.form, about.origin.versions["vllm"]) == (20, "served", "0.18.0")
    assert set(about.origin.files) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert [row.prompt.id for row in read_baseline(out)] == [prompt.id for prompt in spread(PROMPTS, 3)]
    assert main(["compare", str(BASELINE), str(out)]) == 0
    assert "within 0.0001" in capsys.readouterr().out
    assert main([*words, "--vllm", "0.18.0"]) == 0
    assert capsys.readouterr().out == f"whole already: {out} (3 prompts, as vLLM 0.18.0 serves them)\n"
    assert "versions.vllm 0.18.0, and now it is 0.32.0" in refused(capsys, *words, "--vllm", "0.32.0")


def test_files_that_are_far_apart_are_told_by_the_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    far = tmp_path / "far.jsonl"
    rows = [json.loads(line) for line in BASELINE.read_text("utf-8").splitlines() if '"tokens"' in line]
    rows[3]["top"] = [{token: value - 0.5 for token, value in listed.items()} for listed in rows[3]["top"]]
    far.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert main(["compare", str(BASELINE), str(far)]) == 1
    told = capsys.readouterr().out
    assert "more than 0.0001" in told
    assert told.splitlines()[4].split()[0] == rows[3]["id"]
    assert main(["compare", str(BASELINE), str(far), "--most", "0.5"]) == 0


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]], ids=str)
def test_without_a_command_all_are_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    page = capsys.readouterr().out
    assert all(f"\n  {name} " in page for name in COMMANDS)


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--help"]) == 0
    assert "--stream-layers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["recrod"], "no command 'recrod'; there are: record, .*Did you mean 'record'?"),
        (["record"], "required: --model, --out"),
        (["record", "--model", "absent", "--out", "o"], "--model: the folder 'absent' does not exist"),
        (["record", "--model", "{tmp}", "--out", "o"], "is not a checkpoint: it has no config.json"),
        (["record", "--model", "{control}", "--out", "{tmp}/a/o"], "--out: the folder of .* does not exist"),
        (["record", "--model", "{control}", "--out", "{tmp}"], "--out: .* cannot be written: Is a directory"),
        (["record", "--model", "{control}", "--out", "o", "--rout", "own"], "Did you mean '--route'?"),
        (["record", "--model", "{control}", "--out", "o", "--route", "transformer"], "Did you mean 'transformers'?"),
        (["record", "--model", "{control}", "--out", "o", "--arithmetic", "float8"], "Did you mean 'float"),
        (["record", "--model", "{control}", "--out", "o", "--top", "21"], "--top: 21 is more than 20"),
        (["record", "--model", "{control}", "--out", "o", "--threads", "0"], "'0' is not a whole number from 1"),
        (
            ["record", "--model", "{control}", "--out", "o", "--prompts", "0"],
            f"--prompts: 0 is not from 1 to {len(PROMPTS)}",
        ),
        (["record", "--model", "{control}", "--out", "o", "--prompts", "a.jsonl"], "'a.jsonl' does not exist"),
        (["record", "--model", "{control}", "--out", "o", "--images", "{tmp}/no"], "--images: the folder .* does not"),
        (["record", "--model", "{control}", "--out", "o", "--images", "{tmp}"], "names the picture 'ocr/sign-1.png'"),
        (["record", "--model", "{control}", "--out", "o", "--vllm", "new"], "--vllm: 'new' is not a version"),
        (
            ["record", "--model", "{control}", "--out", "o", "--power", "--route", "transformers"],
            "--power: only the own",
        ),
        (["record", "--modle", "{control}", "--out", "o"], "unrecognized arguments: --modle.* Did you mean '--model'?"),
        (["record", "--model", "{control}", "--out", "o", "--prompts", "abc"], "'abc' does not exist; a number from 1"),
        (["compare", "absent", "{baseline}"], "the file 'absent' does not exist"),
        (["compare", "{baseline}", "{baseline}", "--most", "-1"], "'-1' is not a number of nats"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    words: list[str],
    why: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"{tmp}": str(tmp_path), "{control}": str(CONTROL), "{baseline}": str(BASELINE)}
    for name, value in known.items():
        words = [word.replace(name, value) for word in words]
    line = refused(capsys, *words)
    assert line.startswith("error: ")
    before, _, after = why.partition(".*")
    assert before in line
    assert after in line
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_absent_is_named_with_a_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(routes, "NEEDED", ("torch_of_nobody",))
    line = refused(capsys, "record", "--model", str(CONTROL), "--out", str(tmp_path / "o"), code=10)
    assert "torch_of_nobody not installed in" in line
    assert "--engine-python" in line


def test_a_damaged_weight_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "model"
    shutil.copytree(CONTROL, folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    line = refused(capsys, "record", "--model", str(folder), "--out", str(tmp_path / "o"), "--prompts", "1")
    assert "model.safetensors" in line


def spoken(*words: str, stdout: int) -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes there."""
    argv = [sys.executable, "-m", "vlm_acceptance.reference", *words]
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    done = subprocess.run(argv, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [["--help"], ["record", "--help"], ["compare", str(BASELINE), str(BASELINE)]])
def test_an_output_that_nobody_reads_is_no_traceback(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert spoken(*words, stdout=writing) == (10, "")
    finally:
        os.close(writing)


@pytest.mark.parametrize("words", [["--help"], ["record", "--help"], ["compare", str(BASELINE), str(BASELINE)]])
def test_an_output_that_is_full_is_one_line(words: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, said = spoken(*words, stdout=full)
    finally:
        os.close(full)
    assert (code, said) == (10, "error: standard output cannot be written: No space left on device\n")
