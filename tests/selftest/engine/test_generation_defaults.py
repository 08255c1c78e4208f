"""Defaults that the served folder, or the engine's arguments, declare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlm_acceptance.engine.generation_defaults import declared_defaults

DECLARED = {"repetition_penalty": 1.1, "top_k": 50, "eos_token_id": 2, "temperature": "hot", "top_p": True}
READ = {"repetition_penalty": 1.1, "top_k": 50.0}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], READ),
        (["--generation-config", "auto"], READ),
        (["--generation-config", "vllm"], {}),
        (["--generation-config=vllm"], {}),
        (["--override-generation-config", '{"top_k": 5}'], {**READ, "top_k": 5.0}),
        (["--generation-config=vllm", '--override-generation-config={"min_p": 0.1}'], {"min_p": 0.1}),
        (["--override-generation-config", "{"], READ),
        (["--override-generation-config", "[1]"], READ),
    ],
)
def test_defaults_are_those_that_the_engine_takes(
    tmp_path: Path, args: list[object], expected: dict[str, float]
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(DECLARED), "utf-8")
    assert declared_defaults(tmp_path, args) == expected


def test_another_folder_can_declare_them(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "generation_config.json").write_text('{"top_p": 0.8}', "utf-8")
    assert declared_defaults(tmp_path, ["--generation-config", str(other)]) == {"top_p": 0.8}


@pytest.mark.parametrize("text", [None, "{", "[]", '{"top_k": NaN}', "null"])
def test_a_folder_without_a_readable_file_declares_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "generation_config.json").write_text(text, "utf-8")
    assert declared_defaults(tmp_path, []) == {}
