"""Model folders that are damaged or hostile: checked, or refused in one line."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.mutations import damaged, json_text
from tests.support.reading_limits import survives

from vlm_acceptance.core.errors import WeightsProblem
from vlm_acceptance.engine import tiling, weights

SHARD, INDEX = "model-00001-of-00001.safetensors", "model.safetensors.index.json"
CONFIG = {
    "architectures": ["InternVLChatModel"],
    "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
    "model_type": "internvl_chat",
    "force_image_size": 448,
    "downsample_ratio": 0.5,
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 12,
    "vision_config": {"image_size": 448, "patch_size": 14},
}
FILES: dict[str, Any] = {
    "config.json": CONFIG,
    "generation_config.json": {"eos_token_id": [92542, 92543]},
    "tokenizer_config.json": {
        "tokenizer_class": "InternLM2Tokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        "chat_template": "{{ bos_token }}",
    },
    INDEX: {"metadata": {"total_size": 64}, "weight_map": {"w1": SHARD, "w2": SHARD}},
}
HEADER = {
    "__metadata__": {"format": "pt"},
    "w1": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]},
    "w2": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [32, 64]},
}


def weight_file(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(64)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, value in FILES.items():
        (tmp_path / name).write_text(json.dumps(value), "utf-8")
    (tmp_path / SHARD).write_bytes(weight_file(json.dumps(HEADER).encode()))
    for name in ("configuration_internvl_chat.py", "tokenization_internlm2.py", "tokenizer.model"):
        (tmp_path / name).write_text("", "utf-8")
    assert look_at(tmp_path) == []
    return tmp_path


def look_at(folder: Path) -> list[str]:
    """All that is read of a model folder; its problems, each one line."""
    problems = weights.inspect(folder, (92542, 92543), 64)
    assert not any("\n" in problem for problem in problems)
    try:
        tiling.served_tiling(folder)
        weights.fingerprint(folder)
        weights.stop_notes(folder, (2,))
    except WeightsProblem:
        if not problems:  # what a run would meet later must be reported before
            raise AssertionError("no problem was reported") from None
    return problems


@given(data=st.data())
def test_a_folder_is_checked_or_refused_in_one_line(data: st.DataObject, model: Path, before_mb: float) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    good = (model / name).read_bytes()
    try:
        (model / name).write_bytes(json_text(data, FILES[name]))
        survives(lambda: look_at(model), before_mb)
    finally:
        (model / name).write_bytes(good)


@given(data=st.data())
def test_weights_are_checked_or_refused_in_one_line(data: st.DataObject, model: Path, before_mb: float) -> None:
    header = json_text(data, HEADER)
    length = data.draw(st.sampled_from([None, None, None, 0, 8, 1 << 31, (1 << 64) - 1]))
    content = weight_file(header, length)
    (model / SHARD).write_bytes(damaged(data, content) if data.draw(st.booleans()) else content)
    survives(lambda: look_at(model), before_mb)


def config(**changes: object) -> tuple[str, object]:
    return "config.json", {**CONFIG, **changes}


def shard(**tensor: object) -> tuple[str, object]:
    header = {"w1": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64], **tensor}}
    return SHARD, weight_file(json.dumps(header).encode())


FOUND = {
    "deep config": ("config.json", b"[" * 100_000),
    "deep object": ("tokenizer_config.json", b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "5,000 digits": ("generation_config.json", b'{"eos_token_id": ' + b"9" * 5000 + b"}"),
    "UTF-16": ("config.json", "{}".encode("utf-16")),
    "many lists": ("config.json", b"[" + b"[]," * 1_500_000 + b"[]]"),
    "many deep lists": ("config.json", b"[" + b",".join([b"[" * 90 + b"]" * 90] * 9000) + b"]"),
    "patch of 0": config(vision_config={"image_size": 448, "patch_size": 0}),
    "ratio of x": config(downsample_ratio="x"),
    "vision of a list": config(vision_config=[1]),
    "tiles without end": config(max_dynamic_patch=10**6),
    "more least than most": config(min_dynamic_patch=9, max_dynamic_patch=2),
    "size of a truth value": config(force_image_size=True),
    "offsets to infinity": shard(data_offsets=[0, float("inf")]),
    "offsets backwards": shard(data_offsets=[64, 0]),
    "offsets of text": shard(data_offsets="ab"),
    "endless shape": shard(shape=[10**18] * 1000),
    "type with a line end": shard(dtype="BF16\n"),
    "deep header": (SHARD, weight_file(b"[" * 5000)),
    "huge header": (SHARD, weight_file(b"{}", 1 << 40)),
    "map of a list": (INDEX, {"weight_map": [SHARD]}),
    "map to NUL": (INDEX, {"weight_map": {"w": "a\0b"}}),
    "map to half a character": (INDEX, {"weight_map": {"w": "\ud800.safetensors"}}),
    "map to a number": (INDEX, {"weight_map": {"w": 1}}),
    "map to a list": (INDEX, {"weight_map": {"w": []}}),
    "map to another folder": (INDEX, {"weight_map": {"w": "../other.safetensors"}}),
    "map to a device": (INDEX, {"weight_map": {"w": "/dev/zero"}}),
    "map to a long name": (INDEX, {"weight_map": {"w": "x" * 5000}}),
}


@pytest.mark.parametrize(("name", "value"), FOUND.values(), ids=FOUND)
def test_what_was_found_is_refused_in_one_line(name: str, value: object, model: Path, before_mb: float) -> None:
    (model / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    assert look_at(model)
    survives(lambda: look_at(model), before_mb)


def test_code_of_another_folder_is_not_read(model: Path, before_mb: float) -> None:
    (model.parent / "outside.py").write_text("", "utf-8")
    for named in (str(model.parent / "outside"), "/etc/passwd", "x" * 5000, "\ud800"):
        (model / "config.json").write_text(
            json.dumps({**CONFIG, "auto_map": {"AutoConfig": f"{named}.Class"}}), "utf-8"
        )
        assert any("that config.json needs" in problem for problem in look_at(model)), named
