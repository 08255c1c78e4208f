"""Rules for the own route: groups, limits and memory; results do not depend on what is kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from tests.support.plain_internvl import PICTURE, configured, write  # noqa: E402

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem  # noqa: E402
from vlm_acceptance.reference import own  # noqa: E402
from vlm_acceptance.reference.own import GROUP_TOKENS, OwnRoute, groups  # noqa: E402
from vlm_acceptance.reference.parts import needed_bytes  # noqa: E402
from vlm_acceptance.reference.route import Asked  # noqa: E402
from vlm_acceptance.reference.shape import read_shape  # noqa: E402

RED = Image.new("RGB", (28, 28), (200, 10, 10))
PROMPTS = [
    Asked("text", (1, 5, 9, 12), (), 6),
    Asked("picture", (1, *[PICTURE] * 4, 8), (RED,), 6),
    Asked("long", tuple(range(3, 40)), (), 3),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, configured())
    return tmp_path


def test_streamed_layers_give_the_same_answers_to_the_last_bit(folder: Path) -> None:
    kept, streamed = (OwnRoute(folder, stream_layers=stream).answer(PROMPTS, 5) for stream in (False, True))

    assert kept == streamed


def test_a_streamed_route_keeps_no_layer(folder: Path) -> None:
    route = OwnRoute(folder, stream_layers=True)
    route.answer(PROMPTS, 5)

    assert list(route.parts._kept) == ["head"]


def test_each_prompt_is_answered_for_itself(folder: Path) -> None:
    route = OwnRoute(folder, arithmetic="float64")

    together = route.answer(PROMPTS, 5)

    for prompt, answer in zip(PROMPTS, together, strict=True):
        (alone,) = route.answer([prompt], 5)
        assert alone.tokens == answer.tokens
        assert all(a == pytest.approx(b) for a, b in zip(alone.top, answer.top, strict=True))


def test_an_answer_ends_at_its_limit_or_with_an_end(folder: Path) -> None:
    route = OwnRoute(folder)
    ends = set(route.shape.ends)

    for prompt, answer in zip(PROMPTS, route.answer(PROMPTS, 5), strict=True):
        assert len(answer.tokens) == prompt.max_tokens or answer.tokens[-1] in ends
        assert not ends & set(answer.tokens[:-1])
        assert all(len(top) == 5 for top in answer.top)


def test_a_given_token_is_always_listed(folder: Path) -> None:
    (tops,) = OwnRoute(folder).score(PROMPTS[:1], [[90, 91, 3]], 2)

    assert [token in top for token, top in zip([90, 91, 3], tops, strict=True)] == [True] * 3
    assert all(len(top) in (2, 3) for top in tops)


def test_groups_keep_the_order_and_end_at_prompts_or_tokens() -> None:
    prompts = [
        Asked(str(n), (1,) * size, (), 10)
        for n, size in enumerate([10, 10, 10, GROUP_TOKENS, 10, GROUP_TOKENS // 2, GROUP_TOKENS // 2, 200])
    ]

    found = [[each.id for each in group] for group in groups(prompts, 2)]

    assert found == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6", "7"]]


def test_too_few_picture_tokens_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="one: 3 picture tokens for 4 vectors"):
        OwnRoute(folder).answer([Asked("one", (1, *[PICTURE] * 3), (RED,), 2)], 5)


def test_an_unknown_arithmetic_is_one_line(folder: Path) -> None:
    with pytest.raises(UsageProblem, match="arithmetic 'bfloat' is not one of float32, .* Did you mean 'bfloat16'"):
        OwnRoute(folder, arithmetic="bfloat")


@pytest.mark.parametrize(("stream", "cure"), [(False, "or use --stream-layers, which needs about"), (True, "")])
def test_too_little_memory_is_one_line(folder: Path, monkeypatch: Any, stream: bool, cure: str) -> None:
    monkeypatch.setattr(own, "free_memory", lambda: 1000)

    with pytest.raises(EnvironmentProblem) as raised:
        OwnRoute(folder, stream_layers=stream)

    assert "GB of memory, and 0.0 GB are available: end other programs" in str(raised.value)
    assert str(raised.value).endswith("programs") is stream
    assert cure in str(raised.value)


def test_streaming_a_deep_model_needs_less_memory(folder: Path) -> None:
    write(folder, configured(language={"num_hidden_layers": 24, "hidden_size": 64, "intermediate_size": 256}))
    shape = read_shape(folder)

    assert needed_bytes(shape, stream=True, tokens=1) < needed_bytes(shape, stream=False, tokens=1) / 2
