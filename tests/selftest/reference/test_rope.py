"""Rules for the rotary embedding: which base each generation of vLLM, and the authors, take for dynamic scaling."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from vlm_acceptance.reference.rope import ALWAYS, BEYOND, NEVER, base, turns  # noqa: E402
from vlm_acceptance.reference.shape import Rope  # noqa: E402

INTERNVL2_2B = Rope(1e6, 32768, "dynamic", 2.0)
PLAIN = Rope(1e6, 32768)
HEAD = 128


@pytest.mark.parametrize("length", [1, 3400, 32768])
def test_within_the_trained_length_only_old_vllm_scales(length: int) -> None:
    # factor · (factor · positions) / positions - (factor - 1) = 3, to the power of d / (d - 2)
    assert base(INTERNVL2_2B, HEAD, length, ALWAYS) == pytest.approx(1e6 * 3 ** (128 / 126))
    assert base(INTERNVL2_2B, HEAD, length, BEYOND) == 1e6
    assert base(INTERNVL2_2B, HEAD, length, NEVER) == 1e6


def test_beyond_it_the_authors_scale_by_the_length() -> None:
    assert base(INTERNVL2_2B, HEAD, 49152, BEYOND) == pytest.approx(1e6 * 2 ** (128 / 126))
    assert base(INTERNVL2_2B, HEAD, 65536, BEYOND) == pytest.approx(base(INTERNVL2_2B, HEAD, 1, ALWAYS))
    assert base(INTERNVL2_2B, HEAD, 49152, NEVER) == 1e6


@pytest.mark.parametrize("scaling", [ALWAYS, BEYOND, NEVER])
@pytest.mark.parametrize("rope", [PLAIN, Rope(1e6, 32768, "linear", 4.0)])
def test_other_scalings_keep_the_base(rope: Rope, scaling: str) -> None:
    assert base(rope, HEAD, 65536, scaling) == 1e6


def test_angles_are_place_times_rate() -> None:
    cos, sin = turns(PLAIN, 4, torch.tensor([0, 5]), BEYOND, torch.float64)

    assert cos.tolist() == [[1, 1], pytest.approx([math.cos(5), math.cos(5 / 1e3)])]
    assert sin.tolist() == [[0, 0], pytest.approx([math.sin(5), math.sin(5 / 1e3)])]


def test_linear_scaling_slows_the_place() -> None:
    slow = turns(Rope(1e6, 32768, "linear", 4.0), HEAD, torch.tensor([8]), BEYOND)

    assert all(map(torch.equal, slow, turns(PLAIN, HEAD, torch.tensor([2]), BEYOND)))
