"""Rules for arithmetic: each operation is rounded once to the type in which an engine stores it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vlm_acceptance.reference.arithmetic import TYPES, Arithmetic  # noqa: E402

GENERATOR = torch.Generator().manual_seed(5)
X, WEIGHT, BIAS = (torch.randn(size, generator=GENERATOR) for size in ((7, 40), (16, 40), (16,)))


@pytest.mark.parametrize("name", TYPES)
def test_what_is_computed_is_held_as_the_type_holds_it(name: str) -> None:
    arithmetic = Arithmetic(name)
    x, weight, bias = (arithmetic.rounded(each) for each in (X, WEIGHT, BIAS))
    heads = arithmetic.rounded(torch.randn((1, 2, 5, 8), generator=GENERATOR))
    computed = [
        arithmetic.linear(x, weight, bias),
        arithmetic.exact_linear(x, weight, bias),
        arithmetic.layer_norm(x, weight[0], weight[1], 1e-6),
        arithmetic.rms_norm(x, weight[0], 1e-6),
        arithmetic.attention(heads, heads, heads, causal=True),
        arithmetic.stored_attention(heads, heads, heads),
    ]

    for result in computed:
        assert result.dtype == (torch.float64 if name == "float64" else torch.float32)
        assert torch.equal(result, result.to(TYPES[name]).to(result.dtype))


@pytest.mark.parametrize(("name", "step"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_a_sum_is_rounded_once_and_not_at_each_step(name: str, step: float) -> None:
    arithmetic = Arithmetic(name)
    x, weight, bias = (arithmetic.rounded(each) for each in (X, WEIGHT, BIAS))
    exact = x.double() @ weight.double().T + bias.double()

    off = (arithmetic.linear(x, weight, bias).double() - exact).abs() / exact.abs()

    assert float(off.max()) <= 1.01 * step


def test_causal_attention_does_not_see_what_comes_later() -> None:
    q, k, v = (torch.randn((1, 2, 6, 8), generator=GENERATOR) for _ in range(3))
    arithmetic = Arithmetic()
    whole = arithmetic.attention(q, k, v, causal=True)

    short = arithmetic.attention(q[:, :, :3], k[:, :, :3], v[:, :, :3], causal=True)

    assert torch.allclose(whole[:, :, :3], short, atol=1e-6)
    assert not torch.allclose(whole[:, :, :3], arithmetic.attention(q, k, v, causal=False)[:, :, :3], atol=1e-2)
