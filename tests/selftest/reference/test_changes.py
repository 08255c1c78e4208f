"""Each change is the fault that its name says: compared with a broken copy of the control that is made otherwise."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.proof import mutants  # noqa: E402
from tests.support.runs import ROOT  # noqa: E402

from vlm_acceptance.core.change_names import PHRASES  # noqa: E402
from vlm_acceptance.core.logprobs import read_prompts  # noqa: E402
from vlm_acceptance.core.reference import Origin  # noqa: E402
from vlm_acceptance.reference.changed_weights import (  # noqa: E402
    ChangedWeights,
    eight_bit_floats,
    noise,
    whole_numbers,
)
from vlm_acceptance.reference.changes import AGAIN, variants  # noqa: E402
from vlm_acceptance.reference.distance import added, distance  # noqa: E402
from vlm_acceptance.reference.open_changed import opener  # noqa: E402
from vlm_acceptance.reference.prompt_form import PromptForm  # noqa: E402
from vlm_acceptance.reference.weights import Checkpoint  # noqa: E402

MODEL, IMAGES = ROOT / "fixtures" / "control" / "model", ROOT / "fixtures" / "images"
PROMPTS = [each for each in read_prompts(ROOT / "fixtures" / "baselines" / "prompts.jsonl") if len(each.pictures) < 2]
# a picture of several tiles, one of one tile, none, and one with a system message
NAMES = ("ocr/sign-1", "reasoning/card-1", "choice/shape-1", "text/hello")
ASKED = [*[each for each in PROMPTS if each.id in NAMES], *[each for each in PROMPTS if each.system][:1]]
TOP = 20
LARGEST_E4M3 = 448.0
ORIGIN = Origin("control", {}, "", "own", "float32", "served", TOP, {"vllm": "0.18.0"})


@functools.cache
def opened_folder(folder):
    return opener(folder, ORIGIN, 1, stream_layers=False)


def lists(folder, variant, answers=None):
    """The answers of a folder under a change, teacher-forced on `answers` if they are given."""
    ready = opened_folder(folder)(variant)
    form = variant.prompt(PromptForm())
    asked = [ready.asks.asked(prompt, IMAGES, form, variant.pictures) for prompt in ASKED]
    if answers is None:
        return [(one.tokens, one.top) for one in ready.route.answer(asked, TOP)]
    return ready.route.score(asked, [tokens for tokens, _ in answers], TOP)


@pytest.fixture(scope="module")
def known():
    return lists(MODEL, AGAIN)


def far(known, seen):
    """Mean |Δ| of common top tokens, nats."""
    whole = added(distance(tokens, top, tops) for (tokens, top), tops in zip(known, seen))
    return whole.shift / whole.listed


@pytest.mark.parametrize(
    "name",
    [
        "rope-base", "norm-eps", "layer-dropped", "vision-layer-dropped", "no-thumbnail",
        "no-bos", "no-role-newline", "foreign-system",
    ],
)  # fmt: skip
def test_a_change_equals_a_broken_checkpoint(name, known, tmp_path):
    broken = tmp_path / name
    mutants.make(name, broken)
    by_change = lists(MODEL, variants("float32")[name], known)
    by_files = lists(broken, AGAIN, known)
    assert far(known, by_change) > 0.01
    assert far([(t, top) for (t, _), top in zip(known, by_change)], by_files) < 1e-5


@pytest.mark.parametrize("name", ["int4", "bgr", "mean-std"])
def test_a_change_equals_a_broken_checkpoint_that_is_stored_in_16_bits(name, known, tmp_path):
    broken = tmp_path / name
    mutants.make(name, broken)
    by_change, by_files = (lists(f, v, known) for f, v in ((MODEL, variants("float32")[name]), (broken, AGAIN)))
    apart = far([(t, top) for (t, _), top in zip(known, by_change)], by_files)
    assert apart < 0.1 * far(known, by_change)


def test_the_same_again_is_no_distance(known):
    assert far(known, lists(MODEL, AGAIN, known)) < 1e-5


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16", "float16"])
def test_every_change_has_a_phrase_and_its_floor(arithmetic):
    table = variants(arithmetic)
    assert set(table) <= set(PHRASES)
    floors = [name for name, each in table.items() if each.floor]
    wanted = ["again", "bf16", "fp16"]
    others = ["again", "other-order", "other-norms", "other-attention", "other-rounding"]
    assert floors == (wanted if arithmetic == "float32" else others)


def test_every_phrase_belongs_to_a_change():
    assert set(PHRASES) == {name for kind in ("float32", "bfloat16", "float16") for name in variants(kind)}


def test_every_mutant_of_the_proof_that_is_measured_has_its_name():
    elsewhere = {"blind", "blind-mlp1", "no-tiling", "pixel-shuffle-v1", "no-newline", "no-generation-prompt", "int3"}
    assert set(mutants.MAKERS) - elsewhere - {"tokenizer"} <= set(variants("float32"))


def test_every_change_moves_something(known):
    still = [
        name
        for name, variant in variants("float32").items()
        if variant is not AGAIN and far(known, lists(MODEL, variant, known)) < 1e-4
    ]
    assert still == []


@pytest.mark.parametrize("name", ["other-norms", "other-attention", "other-rounding"])
def test_right_arithmetic_that_rounds_elsewhere_is_equal_where_nothing_is_rounded(name, known):
    variant = variants("bfloat16")[name]
    assert far(known, lists(MODEL, variant, known)) < 1e-5


@pytest.mark.parametrize(("group", "largest"), [(None, 7), (32, 7), (128, 127), (100, 7)])
def test_rounded_weights_are_whole_multiples_of_one_scale_each(group, largest):
    matrix = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    rounded = whole_numbers(largest, group)("a", matrix)
    for row, before in zip(rounded, matrix):
        for part, plain in zip(row.split(group or 300), before.split(group or 300)):
            scale = plain.abs().max() / largest
            assert (part / scale - (part / scale).round()).abs().max() < 1e-4
            assert (part - plain).abs().max() <= scale / 2 * 1.001


def test_e4m3_keeps_sixteenths():
    matrix = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    rounded = eight_bit_floats("a", matrix)
    large = matrix.abs() > matrix.abs().amax(-1, keepdim=True) / LARGEST_E4M3
    assert ((rounded - matrix).abs() / matrix.abs())[large].max() <= 1 / 16 * 1.001


def test_noise_is_the_same_each_time_and_as_large_as_it_says():
    matrix = torch.ones(200, 200)
    first, again, other = (noise(0.02)(name, matrix) for name in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std()) == pytest.approx(0.02, rel=0.02)


def test_embeddings_output_norms_and_biases_stay_as_they_are():
    stored = Checkpoint(MODEL)
    changed = ChangedWeights(stored, lambda _, matrix: matrix + 1)
    moved = {name for name in stored.sizes() if not torch.equal(changed.tensor(name), stored.tensor(name))}
    linear = {name for name, size in stored.sizes().items() if len(size) == 2}
    assert moved == linear - {"language_model.model.tok_embeddings.weight", "language_model.output.weight"}
    assert changed.sizes() == stored.sizes()


def test_the_control_has_pictures_of_one_and_of_several_tiles():
    rule = json.loads((Path(MODEL) / "config.json").read_text())
    assert rule["use_thumbnail"]
    assert any(prompt.pictures for prompt in ASKED)
    assert any(not prompt.pictures for prompt in ASKED)
