"""Rules for the random checkpoint: the real model's shape, and the same bytes for the same seed."""

from __future__ import annotations

import importlib.util
import json
from math import prod
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from tests.support.plain_internvl import configured  # noqa: E402

from vlm_acceptance.config.paths import ROOT  # noqa: E402
from vlm_acceptance.reference.own import OwnRoute  # noqa: E402
from vlm_acceptance.reference.parts import tensor_sizes  # noqa: E402
from vlm_acceptance.reference.shape import read_shape  # noqa: E402

PARAMETERS = 2_205_754_368


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("random_checkpoint", ROOT / "scripts" / "random_checkpoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_as_many_parameters_as_the_real_model(script: ModuleType, tmp_path: Path) -> None:
    for name in script.COPIED:
        (tmp_path / name).write_bytes((script.CONTROL / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(script.config(24)))
    shape = read_shape(tmp_path)

    assert sum(map(prod, tensor_sizes(shape).values())) == PARAMETERS
    assert (shape.tile_tokens, shape.rule.max_tiles, shape.language.rope.scaling) == (256, 12, "dynamic")


def test_a_small_one_is_written_whole_and_in_several_files(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the control's tokenizer has ids up to its vocabulary
    small = configured(language={"vocab_size": 1024})
    monkeypatch.setattr(script, "config", lambda layers: small)
    monkeypatch.setattr(script, "SHARD_BYTES", 20_000)

    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        script.write(tmp_path / name, seed, 2)

    files = sorted(path.name for path in (tmp_path / "one").glob("*.safetensors"))
    assert len(files) > 2
    assert OwnRoute(tmp_path / "one").shape.language.vocab == 1024
    same, other = (
        [(tmp_path / "one" / name).read_bytes() == (tmp_path / folder / name).read_bytes() for name in files]
        for folder in ("again", "other")
    )
    assert all(same)
    assert not all(other)


def test_values_keep_what_passes_at_its_size(script: ModuleType) -> None:
    matrix = script.drawn("language_model.model.layers.0.feed_forward.w1.weight", (300, 400), 1).float()

    assert float(matrix.std()) * 20 == pytest.approx(1, abs=0.02)
