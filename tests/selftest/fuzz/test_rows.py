"""Baselines, prompts, golden answers, prepared data and stored runs that are wrong: read, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import made_accuracy
from tests.support.mutations import json_lines, json_text
from tests.support.pages import RUN
from tests.support.reading_limits import survives

from vlm_acceptance.accuracy import answers_file
from vlm_acceptance.accuracy.prepared import INDEX, MANIFEST, Prepared
from vlm_acceptance.accuracy.prompt_tokens import stored_counts
from vlm_acceptance.accuracy.result import golden_answers as known_answers
from vlm_acceptance.cases import golden_answers
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, UsageProblem
from vlm_acceptance.report import stored_run
from vlm_acceptance.report.html import render
from vlm_acceptance.run import calibrate

IMAGES = ROOT / "fixtures" / "images"


def rows_of(path: Path, count: int) -> list[Any]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(next(file)) for _ in range(count)]


BASELINE = rows_of(ROOT / "fixtures" / "baselines" / "control.jsonl", 2)
PROMPTS = rows_of(ROOT / "fixtures" / "baselines" / "prompts.jsonl", 6)
GOLDEN = rows_of(ROOT / "fixtures" / "control" / "expected.jsonl", 4)
ANSWERS = [
    {"identity": {"data": {"dataset": "d", "sha256": "0"}, "prompts": {"protocol": "p"}, "profile": {"name": "n"}}},
    *(
        {
            "id": f"q{number}", "status": "answered", "text": "A", "finish_reason": "stop", "prompt_tokens": 9,
            "completion_tokens": 1, "error": "", "http_status": 200, "started_utc": "", "elapsed_s": 0.5,
            "attempts": [], "prompt_sha256": "0", "pictures": [], "model": "m",
        }
        for number in range(3)
    ),
]  # fmt: skip
COUNTS = [{"sha256": "a", "tokens": 3}, {"sha256": "b", "tokens": 4}]
SUMMARY = json.loads((RUN / "summary.json").read_text("utf-8"))
PROPOSAL = {
    "calibration": {
        "base": str(ROOT / "fixtures" / "profiles" / "control-cpu.yaml"),
        "due": True,
        "missing": ["capability", "latency"],
        "parts": {
            "capability": {
                "content": {"capability": {"calibrated": True, "recorded": {"ocr/sign": 8}}},
                "summary": "every question reached its bar",
            },
            "latency": {
                "content": {"latency": {"recorded": True, "categories": {"ocr": {"ttft_s": 0.5}}}},
                "summary": "1.5 x the medians",
            },
        },
        "command": "",
    }
}


@given(data=st.data())
def test_a_baseline_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "baseline.jsonl"
    path.write_bytes(json_lines(data, BASELINE))

    def read() -> None:
        if logprobs.is_baseline(path):
            logprobs.require_pictures(path, [row.prompt for row in logprobs.read_baseline(path)], IMAGES)

    survives(read, before_mb)


@given(data=st.data())
def test_prompts_are_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "prompts.jsonl"
    path.write_bytes(json_lines(data, PROMPTS))
    survives(lambda: logprobs.require_prompts(path, logprobs.read_prompts(path), IMAGES), before_mb)


@given(data=st.data())
def test_golden_answers_are_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "golden.jsonl"
    path.write_bytes(json_lines(data, GOLDEN))
    survives(lambda: golden_answers.by_prompt(golden_answers.read_rows(path, IMAGES)), before_mb)
    survives(lambda: known_answers(path), before_mb)


@given(data=st.data())
def test_answers_are_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "answers.jsonl"
    path.write_bytes(json_lines(data, ANSWERS))
    survives(lambda: answers_file.read(path), before_mb)
    survives(lambda: answers_file.require_same(path, ANSWERS[0]["identity"]), before_mb)
    path.write_bytes(json_lines(data, COUNTS))
    survives(lambda: stored_counts(path), before_mb)


@given(data=st.data())
def test_a_calibration_is_recorded_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    (folder / "summary.json").write_bytes(json_text(data, PROPOSAL))
    file = folder / "recorded.yaml"
    file.unlink(missing_ok=True)
    survives(lambda: calibrate.record(folder, file), before_mb)


@given(data=st.data())
def test_a_stored_run_is_shown_or_refused_in_one_line(data: st.DataObject, stored: Path, before_mb: float) -> None:
    name = data.draw(st.sampled_from(["results.jsonl", "exchanges.jsonl", "summary.json"]))
    good = (stored / name).read_bytes()
    try:
        if name == "summary.json":
            (stored / name).write_bytes(json_text(data, SUMMARY))
        else:
            (stored / name).write_bytes(json_lines(data, rows_of(RUN / name, 2)))
        survives(lambda: show(stored), before_mb)
    finally:
        (stored / name).write_bytes(good)


def show(folder: Path) -> None:
    try:
        render(folder)
    except HarnessProblem as broken:
        raise EnvironmentProblem(" ".join(str(broken).split())) from None


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


@given(data=st.data())
def test_prepared_data_are_read_or_refused_in_one_line(data: st.DataObject, prepared: Path, before_mb: float) -> None:
    good = {name: (prepared / name).read_bytes() for name in (INDEX, MANIFEST)}
    try:
        if data.draw(st.booleans()):
            (prepared / MANIFEST).write_bytes(json_text(data, json.loads(good[MANIFEST])))
        else:
            rows = [json.loads(line) for line in good[INDEX].splitlines()]
            write_index(prepared, json_lines(data, rows))
        survives(lambda: use(prepared), before_mb)
    finally:
        for name, content in good.items():
            (prepared / name).write_bytes(content)


def write_index(folder: Path, content: bytes) -> None:
    """An index whose hash the manifest has, as one who makes such a folder would write it."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / INDEX).write_bytes(content)
    manifest |= {"sha256": hashlib.sha256(content).hexdigest(), "items": content.count(b"\n")}
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def use(folder: Path) -> None:
    prepared = Prepared.open(folder)
    for item in prepared:
        for picture in item.pictures:
            prepared.picture_bytes(picture.plain)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    made_accuracy.prepared(tmp_path / "data", 3)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.txt", "link.png", "pictures", "secret.png", "a\0b", "x" * 5000]
)
def test_a_file_elsewhere_or_no_picture_is_never_sent(prepared: Path, name: str) -> None:
    secret = b"root:x:0:0" * 9
    for path in (prepared.parent / "secret.txt", prepared / "secret.png"):
        path.write_bytes(secret)
    (prepared / "link.png").symlink_to(prepared.parent / "secret.txt")
    rows = [json.loads(line) for line in (prepared / INDEX).read_bytes().splitlines()]
    rows[0]["pictures"][0]["plain"] |= {
        "file": name,
        "bytes": len(secret),
        "sha256": hashlib.sha256(secret).hexdigest(),
    }
    write_index(prepared, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    with pytest.raises(EnvironmentProblem) as caught:
        use(prepared)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../README.md", "README.md", "ocr", "none.png", "a\0b", "x" * 5000, "\ud800"]
)
def test_a_row_names_only_pictures_below_their_folder(folder: Path, name: str) -> None:
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({**BASELINE[0], "pictures": [name]}), "utf-8")
    with pytest.raises(UsageProblem):
        logprobs.require_pictures(path, [row.prompt for row in logprobs.read_baseline(path)], IMAGES)
    path.write_text(json.dumps({**GOLDEN[0], "pictures": [name]}), "utf-8")
    with pytest.raises(UsageProblem):
        golden_answers.read_rows(path, IMAGES)


@pytest.mark.parametrize(
    "content", [{"engine": {"executable": "/tmp/other"}}, {"capability": {"calibrated": True, "recorded": {}, "x": 1}}]
)
def test_a_stored_run_sets_no_other_key_of_a_profile(folder: Path, content: dict[str, Any]) -> None:
    hostile = json.loads(json.dumps(PROPOSAL))
    hostile["calibration"]["parts"]["capability"]["content"] = content
    (folder / "summary.json").write_text(json.dumps(hostile), "utf-8")
    with pytest.raises(UsageProblem):
        calibrate.record(folder, folder / "recorded.yaml")
    assert not (folder / "recorded.yaml").exists()


def test_unreadable_rows_of_a_stored_run_are_counted(stored: Path) -> None:
    deep = b"[" * 100_000 + b"\n"
    (stored / "results.jsonl").write_bytes(deep + b'{"id": ["a"]}\n' + deep)
    gaps: list[str] = []
    stored_run.tests_of(stored, {"tests": [], "files": ""}, gaps)
    assert "3 line(s) of results.jsonl cannot be read" in gaps
