"""Rules for the own route on the control: it is the function of the network that trained it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from vlm_acceptance.config.paths import ROOT  # noqa: E402
from vlm_acceptance.core.logprobs import StoredLogProbs, read_baseline  # noqa: E402
from vlm_acceptance.core.tiles import tiles  # noqa: E402
from vlm_acceptance.reference.own import OwnRoute  # noqa: E402
from vlm_acceptance.reference.route import Asked  # noqa: E402
from vlm_acceptance.reference.shape import read_shape  # noqa: E402

FOLDER = ROOT / "fixtures" / "control" / "model"
IMAGES = ROOT / "fixtures" / "images"
# every kind of prompt is among them: tiles and thumbnail, two pictures, a white one, none, a system message
STORED = read_baseline(ROOT / "fixtures" / "baselines" / "control.jsonl")[::16]
TOP = 20


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    return [_asked(stored, tokenizer) for stored in STORED]


def _asked(stored: StoredLogProbs, tokenizer: Tokenizer) -> Asked:
    prompt, rule = stored.prompt, read_shape(FOLDER).rule
    pictures = tuple(Image.open(IMAGES / name).convert("RGB") for name in prompt.pictures)
    system = f"<|im_start|>system\n{prompt.system}<|im_end|>\n" if prompt.system else ""
    spans = ["<img>" + "<IMG_CONTEXT>" * tiles(*picture.size, rule) * 16 + "</img>\n" for picture in pictures]
    text = f"<s>{system}<|im_start|>user\n{''.join(spans)}{prompt.prompt}<|im_end|>\n<|im_start|>assistant\n"
    return Asked(prompt.id, tuple(tokenizer.encode(text, add_special_tokens=False).ids), pictures, prompt.max_tokens)


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    """The network that trained the control."""
    sys.path.insert(0, str(ROOT / "fixtures" / "control" / "recipe"))
    try:
        import architecture
    finally:
        sys.path.pop(0)
    return architecture


def differences(
    architecture: ModuleType, asked: Sequence[Asked], arithmetic: str, kind: Any
) -> tuple[list[float], list[float]]:
    """|Δ| in nats over all likeliest tokens, and over those that were chosen."""
    weights = load_file(str(FOLDER / "model.safetensors"))
    network = architecture.Control(architecture.Shape(vocab=1024))
    network.load_state_dict({name: tensor.to(kind) for name, tensor in weights.items()})
    network = network.to(kind).eval()
    answers = [stored.logprobs.tokens for stored in STORED]
    route = OwnRoute(FOLDER, arithmetic=arithmetic)
    listed, chosen = [], []
    for prompt, tokens, tops in zip(asked, answers, route.score(asked, answers, TOP), strict=True):
        cut = [architecture.pixels(picture, network.shape) for picture in prompt.pictures]
        with torch.no_grad():
            seen = network.see(torch.cat(cut).to(kind)).flatten(0, 1) if cut else None
            logits = network(torch.tensor([prompt.tokens + tokens[:-1]]), [seen], route.shape.picture_token)
        expected = logits[0, -len(tokens) :].log_softmax(-1)
        listed += [abs(float(expected[i, k]) - p) for i, top in enumerate(tops) for k, p in top.items()]
        chosen += [abs(float(expected[i, k]) - tops[i][k]) for i, k in enumerate(tokens)]
    return listed, chosen


def test_it_is_the_function_of_the_network_that_trained_the_control(
    architecture: ModuleType, asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the network's own norms are in float32, also here
    monkeypatch.setattr(architecture.RmsNorm, "forward", _exact_norm)
    monkeypatch.setattr(architecture, "_rotate", _exact_turn)
    torch.set_default_dtype(torch.float64)
    try:
        listed, _ = differences(architecture, asked, "float64", torch.float64)
    finally:
        torch.set_default_dtype(torch.float32)

    assert max(listed) < 1e-9


def _exact_norm(norm: Any, x: Any) -> Any:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps) * norm.weight


def _exact_turn(x: Any, cos: Any, sin: Any) -> Any:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def test_in_float32_both_differ_by_their_rounding_alone(architecture: ModuleType, asked: list[Asked]) -> None:
    listed, chosen = differences(architecture, asked, "float32", torch.float32)

    assert fmean(chosen) < 1e-6
    # a token of -9 nats is the difference of two numbers around 10, of which float32 holds steps of 1e-6
    assert fmean(listed) < 5e-6


@pytest.mark.parametrize("stream", [False, True])
def test_greedy_answers_are_the_stored_ones(asked: list[Asked], stream: bool) -> None:
    answers = OwnRoute(FOLDER, stream_layers=stream).answer(asked, TOP)

    for stored, answer in zip(STORED, answers, strict=True):
        assert answer.tokens == stored.logprobs.tokens
        for expected, top in zip(stored.logprobs.top, answer.top, strict=True):
            assert all(top[token] == pytest.approx(p, abs=1e-4) for token, p in expected.items())


def test_bfloat16_differs_from_float32_and_keeps_the_answers(asked: list[Asked]) -> None:
    answers = [stored.logprobs.tokens for stored in STORED]
    exact, rounded = (OwnRoute(FOLDER, arithmetic=name).score(asked, answers, TOP) for name in ("float32", "bfloat16"))

    shift = fmean(
        abs(a[k] - b[k]) for one, other in zip(exact, rounded) for a, b in zip(one, other) for k in a if k in b
    )
    same = [max(top, key=top.__getitem__) for tops in rounded for top in tops]

    assert 0.005 < shift < 0.04
    assert same == [token for tokens in answers for token in tokens]
