"""The pictures of a stored run with their answers; whatever the stored file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.report.page_gallery import gallery_of
from vlm_acceptance.report.thumbnails import Sheet, small

SIGN = (ROOT / "fixtures" / "images" / "ocr" / "sign-1.png").read_bytes()
ANSWER = {"test": "t", "exchange": "r1", "text": "RIVER 472", "right": True, "problem": "", "wrong": []}
ROW: dict[str, Any] = {
    "group": "ocr", "question": "sign", "language": "en", "prompt": "What?",
    "name": "sign-1.png",
    "picture": "gallery/sign.png", "planted": [["RIVER", "river"], ["472"]], "asked": 3, "right": 2,
    "answers": [ANSWER],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "observations").mkdir()
    (tmp_path / "gallery").mkdir()
    made = small(SIGN)
    assert made is not None
    (tmp_path / "gallery" / "sign.png").write_bytes(made[0])
    return tmp_path


def store(folder: Path, rows: object) -> Path:
    (folder / "observations" / "gallery.json").write_text(json.dumps(rows), "utf-8")
    return folder


def test_an_entry_has_picture_planted_words_and_answers(folder: Path) -> None:
    gaps: list[str] = []
    found = gallery_of(store(folder, [ROW, {**ROW, "name": "2", "right": 3}]), Sheet(), gaps)
    (question,) = found["ocr"]
    assert (question.prompt, question.asked, question.right) == ("What?", 6, 5)
    entry = question.entries[0]
    assert entry.planted == "RIVER or river, 472"
    assert entry.small is not None
    assert entry.answers[0].text == "RIVER 472"
    assert entry.answers[0].is_right
    assert gaps == []


def test_a_run_without_the_file_has_no_gallery_and_no_gap(folder: Path) -> None:
    gaps: list[str] = []
    assert gallery_of(folder, Sheet(), gaps) == {}
    assert gaps == []


@pytest.mark.parametrize(
    "picture", ["../../etc/passwd", "/etc/passwd", "gallery/none.png", "gallery", "a\0b", 7, "x" * 5000]
)
def test_a_picture_elsewhere_or_absent_is_left_out(folder: Path, picture: object) -> None:
    found = gallery_of(store(folder, [{**ROW, "picture": picture}]), Sheet(), [])
    assert found["ocr"][0].entries[0].small is None


@pytest.mark.parametrize(
    "rows", [[1], [{}], [{**ROW, "asked": "x"}], [{**ROW, "answers": [{}]}], [{**ROW, "planted": 1}]]
)
def test_a_file_of_another_form_is_named_and_costs_no_page(folder: Path, rows: object) -> None:
    gaps: list[str] = []
    assert gallery_of(store(folder, rows), Sheet(), gaps) == {}
    assert "observations/gallery.json is not shown" in gaps[0]
    assert gallery_of(store(folder, {"a": 1}), Sheet(), gaps) == {}
