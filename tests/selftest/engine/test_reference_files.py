"""Files of a served folder beside those from which a reference was computed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vlm_acceptance.engine import reference_files
from vlm_acceptance.engine.reference_files import other_files


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_changed_and_absent_files_are_named(tmp_path: Path) -> None:
    for name, text in {"config.json": "{}", "tokenizer.json": "t", "more.txt": "not known"}.items():
        (tmp_path / name).write_text(text)
    known = {"config.json": sha256("{}"), "tokenizer.json": sha256("other"), "model.safetensors": sha256("w")}
    assert other_files(tmp_path, known) == ["tokenizer.json", "model.safetensors"]


def test_how_answers_end_is_no_matter_of_numbers(tmp_path: Path) -> None:
    assert other_files(tmp_path, {"generation_config.json": sha256("{}")}) == []


def test_large_weights_are_not_read_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reference_files, "_MOST_BYTES", 3)
    (tmp_path / "model.safetensors").write_text("1234")
    assert other_files(tmp_path, {"model.safetensors": sha256("other")}) == []
