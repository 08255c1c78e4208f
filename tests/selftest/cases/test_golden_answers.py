"""Golden answers: rows of a file, each with its prompt, its pictures and its exact answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.cases.golden_answers import by_prompt, read_rows
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.run.inputs import IMAGES

ROW = {"id": "a", "prompt": "What?", "pictures": ["ocr/sign-1.png"], "answer": "A", "prompt_tokens": 9}


def test_golden_answers_are_found_by_prompt_and_picture() -> None:
    known = by_prompt(read_rows(IMAGES.parent / "control" / "expected.jsonl", IMAGES))
    assert known["What is written on the sign?", "ocr/sign-1.png"] == "The sign says RIVER 472."
    assert known["Reply with OK.", ""] == "OK"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"pictures": ["../README.md"]}, "line 1"),
        ({"pictures": "ocr/sign-1.png"}, "pictures"),
        ({"answer": None}, "answer"),
        ({"prompt_tokens": float("nan")}, "NaN"),
        ({"prompt_tokens": True}, "prompt_tokens"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_number(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    (tmp_path / "golden.jsonl").write_text(json.dumps({**ROW, **change}), "utf-8")
    with pytest.raises(UsageProblem, match=f"golden_answers: .* wrong line 1: .*{why}|{why}"):
        read_rows(tmp_path / "golden.jsonl", IMAGES)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text("\n", "utf-8")
    with pytest.raises(UsageProblem, match="holds no row"):
        read_rows(tmp_path / "golden.jsonl", IMAGES)
