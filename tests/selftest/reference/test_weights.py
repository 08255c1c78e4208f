"""Rules for reading a checkpoint's tensors: each is what was stored, and a damaged file is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from vlm_acceptance.core.errors import UsageProblem  # noqa: E402
from vlm_acceptance.reference.weights import Checkpoint, require_tensors  # noqa: E402

TENSORS = {
    "a": torch.arange(12, dtype=torch.float32).view(4, 3),
    "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "c": torch.tensor(3.0, dtype=torch.float16),
}


def sharded(folder: Path) -> Path:
    save_file({"a": TENSORS["a"]}, folder / "one.safetensors")
    save_file({"b": TENSORS["b"], "c": TENSORS["c"]}, folder / "two.safetensors")
    placed = {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    return folder


def single(folder: Path) -> Path:
    save_file(TENSORS, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("made", [single, sharded])
def test_every_tensor_is_read_as_it_is_stored(tmp_path: Path, made: object) -> None:
    checkpoint = Checkpoint(made(tmp_path))  # type: ignore[operator]

    assert checkpoint.sizes() == {"a": (4, 3), "b": (2,), "c": ()}
    for name, tensor in TENSORS.items():
        assert torch.equal(checkpoint.tensor(name), tensor)
        assert checkpoint.tensor(name).dtype == tensor.dtype


def test_rows_are_read_in_the_order_in_which_they_are_asked(tmp_path: Path) -> None:
    assert torch.equal(Checkpoint(single(tmp_path)).rows("a", [2, 0, 2]), TENSORS["a"][[2, 0, 2]])


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"a": (4, 3), "d": (1,)}, "has no tensor d, which its config.json asks for"),
        ({"a": (3, 4)}, "a is 4 × 3; config.json asks for 3 × 4"),
    ],
)
def test_tensors_of_the_shape_must_be_there(tmp_path: Path, wanted: dict[str, tuple[int, ...]], named: str) -> None:
    with pytest.raises(UsageProblem, match=named):
        require_tensors(Checkpoint(single(tmp_path)), wanted, tmp_path)


def test_a_folder_without_weights_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"holds neither model\.safetensors nor model\.safetensors\.index\.json"):
        Checkpoint(tmp_path)


def test_a_file_that_was_not_copied_whole_is_named(tmp_path: Path) -> None:
    path = single(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(UsageProblem, match=r"model\.safetensors ends inside [abc]: it was not copied whole"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "", 5])
def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path, name: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))

    with pytest.raises(UsageProblem, match=r"index\.json is not"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": "x"}, []])
def test_an_index_without_names_is_one_line(tmp_path: Path, index: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(UsageProblem, match="has no weight_map of file names"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}, 'a is stored as "I8", but --route own reads F32, BF16'),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "a has 4 bytes; its size asks for 8"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "row of a is not valid"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "row of a is not valid"),
        ({"shape": [1], "data_offsets": [0, 4]}, "row of a is not valid"),
        (7, "row of a is not valid"),
    ],
)
def test_a_header_that_lies_is_one_line(tmp_path: Path, row: object, named: str) -> None:
    header = json.dumps({"a": row}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))

    with pytest.raises(UsageProblem, match=named):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", bytes(8), b"\x08" + bytes(15)]
)
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(UsageProblem, match=r"model\.safetensors"):
        Checkpoint(tmp_path)


def test_a_pointer_of_git_lfs_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n")
    with pytest.raises(UsageProblem, match="`git lfs pull` fetches them"):
        Checkpoint(tmp_path)
