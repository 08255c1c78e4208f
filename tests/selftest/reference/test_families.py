"""Rules for the own forward pass: it is the function of every kind of InternVL2 checkpoint, by independent oracles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from tests.support.plain_internvl import END, PICTURE, configured, log_probabilities, seen, write  # noqa: E402

from vlm_acceptance.reference.own import OwnRoute  # noqa: E402
from vlm_acceptance.reference.pictures import pixels  # noqa: E402
from vlm_acceptance.reference.rope import ALWAYS, BEYOND, NEVER, base  # noqa: E402
from vlm_acceptance.reference.route import Asked  # noqa: E402

TEXT = [1, 17, 5, 60, 33, 8, 71, 2, 44, 90, 12, 13, 3]
ALL = 97
KINDS: dict[str, Any] = {
    "plain": {},
    "rms norm": {"vision": {"norm_type": "rms_norm"}},
    "qk norm": {"vision": {"norm_type": "rms_norm", "qk_normalization": True, "qkv_bias": False}},
    "shuffle v1": {"ps_version": "v1"},
    "layer -2": {"select_layer": -2},
    "layer 2": {"select_layer": 2},
    "one tile": {"dynamic_image_size": False},
    "biases": {"language": {"bias": True}},
    "tied": {"language": {"tie_word_embeddings": True}},
    "no groups": {"language": {"num_key_value_heads": 4}},
    "qwen2": {"language": {"model_type": "qwen2"}},
    "qwen2 tied": {"language": {"model_type": "qwen2", "tie_word_embeddings": True}},
    "linear rope": {"language": {"rope_scaling": {"type": "linear", "factor": 2.0}}},
}


def noise(width: int, height: int) -> Image.Image:
    drawn = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(width), dtype=torch.uint8)
    return Image.frombytes("RGB", (width, height), bytes(drawn.flatten().tolist()))


def asked(route: OwnRoute, picture: Image.Image) -> Asked:
    tiles = len(pixels(picture, route.shape.rule, route.picture_form))
    return Asked("one", (1, 7, *[PICTURE] * tiles * route.shape.tile_tokens, *TEXT), (picture,), len(TEXT))


def worst(route: OwnRoute, prompt: Asked, expected: Any) -> float:
    """The largest difference of the log probabilities of the text's tokens behind the picture, in nats."""
    start = len(prompt.tokens) - len(TEXT)
    one = Asked("one", prompt.tokens[:start], prompt.pictures, len(TEXT))
    (tops,) = route.score([one], [TEXT], ALL)
    return max(abs(float(expected[start - 1 + i, k]) - p) for i, top in enumerate(tops) for k, p in top.items())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_function_of_a_plain_implementation(tmp_path: Path, kind: str) -> None:
    config = configured(**KINDS[kind])
    tensors = write(tmp_path, config)
    route, picture = OwnRoute(tmp_path, arithmetic="float64"), noise(60, 60)
    vectors = seen(pixels(picture, route.shape.rule, route.picture_form), tensors, config)
    prompt = asked(route, picture)

    expected = log_probabilities(list(prompt.tokens), vectors, tensors, config, 1e4)

    assert torch.allclose(route.seen([picture])[0], vectors, atol=1e-9)
    assert worst(route, prompt, expected) < 1e-9


@pytest.mark.parametrize("scaling", [BEYOND, ALWAYS, NEVER])
@pytest.mark.parametrize("positions", [16, 64], ids=["longer than it was trained", "shorter"])
def test_dynamic_rope_is_that_of_the_authors_or_of_a_vllm(tmp_path: Path, scaling: str, positions: int) -> None:
    dynamic = {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": positions}
    config = configured(language=dynamic)
    tensors = write(tmp_path, config)
    route, picture = OwnRoute(tmp_path, arithmetic="float64", served=scaling != BEYOND, scaling=scaling), noise(20, 20)
    prompt = asked(route, picture)
    vectors = seen(pixels(picture, route.shape.rule, route.picture_form), tensors, config)
    length = len(prompt.tokens) - 1
    bases = {BEYOND: 1e4 * max(1.0, 2 * length / positions - 1) ** (8 / 6), ALWAYS: 1e4 * 3 ** (8 / 6), NEVER: 1e4}

    expected = log_probabilities(list(prompt.tokens)[:-1], vectors, tensors, config, bases[scaling])

    assert base(route.shape.language.rope, 8, length, scaling) == pytest.approx(bases[scaling])
    assert worst(route, prompt, expected) < 1e-9


@pytest.mark.parametrize("kind", ["internlm2", "qwen2"])
def test_answers_are_what_the_whole_text_would_give_at_each_place(tmp_path: Path, kind: str) -> None:
    write(tmp_path, configured(language={"model_type": kind}))
    route = OwnRoute(tmp_path, arithmetic="float64")
    prompts = [asked(route, noise(20, 20)), asked(route, noise(60, 30)), Asked("text", tuple(TEXT), (), 9)]

    answered = route.answer(prompts, 5)
    scored = route.score(prompts, [each.tokens for each in answered], 5)

    for answer, tops in zip(answered, scored, strict=True):
        assert [max(top, key=top.__getitem__) for top in tops] == list(answer.tokens)
        assert all(a == pytest.approx(b) for a, b in zip(answer.top, tops, strict=True))
        assert END in answer.tokens or 2 in answer.tokens or len(answer.tokens) in (9, len(TEXT))
