"""Where a reference comes from: every file that decides its figures, and none that does not."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.reference.checkpoint import hashes, name_of, origin_of, require_checkpoint
from vlm_acceptance.reference.prompt_form import PUBLISHED
from vlm_acceptance.reference.routes import Choice
from vlm_acceptance.reference.special_tokens import special_tokens


def folder_of(path: Path, **config: str) -> Path:
    """A folder that has the files of a checkpoint."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "modeling.py").write_text("code", "utf-8")
    (path / "README.md").write_text("words", "utf-8")
    (path / ".gitattributes").write_text("words", "utf-8")
    (path / "examples").mkdir()
    return path


def test_files_that_decide_the_figures_are_hashed(tmp_path: Path) -> None:
    said: list[str] = []
    found = hashes(folder_of(tmp_path / "model"), said.append)
    assert list(found) == ["config.json", "model.safetensors", "modeling.py"]
    assert found["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert said == [f"reading {name}" for name in found]


def test_another_weight_is_another_origin(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model")
    first = origin_of(folder, Choice(vllm="0.18.0"), 20)
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert origin_of(folder, Choice(vllm="0.18.0"), 20) != first


def test_the_served_form_is_that_of_a_version(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model")
    assert origin_of(folder, Choice(vllm="0.18.0"), 20).versions["vllm"] == "0.18.0"
    assert "vllm" not in origin_of(folder, Choice(form=PUBLISHED, vllm="0.18.0"), 20).versions


def test_a_model_is_named_by_its_configuration_or_its_folder(tmp_path: Path) -> None:
    assert name_of(folder_of(tmp_path / "a", _name_or_path="OpenGVLab/InternVL2-2B")) == "OpenGVLab/InternVL2-2B"
    assert name_of(folder_of(tmp_path / "InternVL2-2B")) == "InternVL2-2B"


@pytest.mark.parametrize("forbidden", ["is_file", "iterdir"])
def test_a_folder_that_may_not_be_entered_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, forbidden, refuse)
        for read in (require_checkpoint, hashes, special_tokens if forbidden == "is_file" else hashes):
            with pytest.raises(UsageProblem, match="cannot be read: Permission denied") as refused:
                read(tmp_path)
            assert "\n" not in str(refused.value)
