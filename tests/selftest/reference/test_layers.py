"""A disagreement of the two routes is traced to the first layer that differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.reference_standin import IMAGES, PROMPTS
from tests.support.runs import ROOT
from tests.support.transformers_folder import transformers_folder

pytest.importorskip("torch")

import torch

from vlm_acceptance.core.logprobs import read_baseline
from vlm_acceptance.reference.__main__ import main
from vlm_acceptance.reference.layers import LANGUAGE, VISION, LayerDistance, by_layer, first_far
from vlm_acceptance.reference.open_route import opened_both

BASELINE = ROOT / "fixtures" / "baselines" / "control.jsonl"
MOST = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The control with Hugging Face code beside its weights."""
    return transformers_folder(tmp_path_factory.mktemp("layers") / "control")


def distances(folder: Path, changed: str | None = None) -> list[LayerDistance]:
    """Those of the first prompt; a weight of the second route's network is changed by 5 %."""
    own, other, prompter = opened_both(folder)
    if changed:
        with torch.no_grad():
            other.model.get_parameter(changed).mul_(1.05)
    known = read_baseline(BASELINE)[0]
    assert known.prompt == PROMPTS[0]
    return list(by_layer(own, other, prompter.asked(known.prompt, IMAGES), known.logprobs.tokens, 20))


def test_routes_that_agree_are_alike_behind_every_layer(folder: Path) -> None:
    found = distances(folder)
    assert [(each.part, each.layers) for each in found] == [
        *((VISION, count) for count in (1, 2, 3)),
        *((LANGUAGE, count) for count in (1, 2, 3, 4)),
    ]
    assert first_far(iter(found), MOST) is None


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ("vision_model.encoder.layers.1.mlp.fc1.weight", (VISION, 2)),
        ("language_model.model.layers.2.attention.wqkv.weight", (LANGUAGE, 3)),
    ],
)
def test_the_first_layer_that_differs_is_named(folder: Path, changed: str, place: tuple[str, int]) -> None:
    far = first_far(iter(distances(folder, changed)), MOST)
    assert far is not None
    assert (far.part, far.layers) == place


def test_compare_looks_for_the_layer_where_files_differ(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in BASELINE.read_text("utf-8").splitlines() if '"tokens"' in line][:2]
    rows[1]["top"] = [{token: value - 0.5 for token, value in listed.items()} for listed in rows[1]["top"]]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert main(["compare", str(BASELINE), str(other), "--model", str(folder)]) == 1
    assert f"layers: both routes are alike in {rows[1]['id']}" in capsys.readouterr().out
