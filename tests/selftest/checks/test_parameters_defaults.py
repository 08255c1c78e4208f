"""Hidden defaults are found by the tokens, also where rounding may change a token."""

from __future__ import annotations

import math

import pytest
from tests.support.made_answers import (
    HOT,
    TIE,
    answer,
    entry,
    observed,
    sure,
    unsure,
)

from vlm_acceptance.checks import parameters_defaults
from vlm_acceptance.checks.parameters_answer import mass


def test_a_hidden_default_changes_text_or_log_probabilities() -> None:
    values = {"repetition_penalty": 1.0}
    same, other = answer(sure(1, 2, 3)), answer(sure(1, 4, 3))
    assert parameters_defaults.same_when_named(same, same, values, TIE, 0.1) == []
    assert "from token 1 on" in observed(parameters_defaults.same_when_named(other, same, values, TIE, 0.1))
    shifted = answer([entry(f"token_id:{n}", -0.01, **{"token_id:98": -7.0}) for n in (1, 2, 3)])
    assert "in the mean" in observed(parameters_defaults.same_when_named(shifted, same, values, TIE, 0.1))
    near = answer([*sure(1), entry("token_id:4", -0.7, **{"token_id:2": -0.7})])
    tied = answer([*sure(1), entry("token_id:2", -0.7, **{"token_id:4": -0.7})])
    assert parameters_defaults.same_when_named(near, tied, values, TIE, 0.1) == []
    assert parameters_defaults.same_sample(same, same, values) == []
    assert "from token 1 on" in observed(parameters_defaults.same_sample(other, same, values))


@pytest.mark.parametrize("temperature", [1.0, HOT])
def test_sampled_tokens_that_are_all_among_the_likeliest_are_narrowed(temperature: float) -> None:
    inside = [entry(f"token_id:{n}", -2.5, **{"token_id:98": -2.0, "token_id:97": -3.0}) for n in range(24)]
    outside = [entry(f"token_id:{n}", -6.0, **{"token_id:98": -2.0, "token_id:97": -3.0}) for n in range(2)]
    narrowed = parameters_defaults.is_not_narrowed(answer(inside), temperature)
    assert "24 tokens are among" in observed(narrowed)
    assert parameters_defaults.is_not_narrowed(answer([*inside, *outside]), temperature) == []
    assert parameters_defaults.is_not_narrowed(answer(sure(*range(24))), temperature) == []


def test_a_penalty_that_nobody_named_takes_less_likely_tokens() -> None:
    assert parameters_defaults.is_unpenalised(answer(sure(1, 2))) == []
    (found,) = parameters_defaults.is_unpenalised(answer([*sure(1), *unsure(2)]))
    assert found.check == "parameters.defaults"
    assert "1 of 2 tokens" in found.observed


def test_the_rest_of_the_tokens_has_at_least_the_share_of_tokens_as_likely_as_the_last_one_listed() -> None:
    listed = {"a": math.log(0.5), "b": math.log(0.1)}  # four others of 0.1, or more that are less likely
    assert mass(listed, "a", 1.0) == pytest.approx(1.0)
    assert mass(listed, "a", HOT) == pytest.approx(0.5 ** (1 / HOT) + 5 * 0.1 ** (1 / HOT))
    for odd in (1e308, -1e308, -9999.0, 0.0):
        assert 0 < mass({"a": odd, "b": odd}, "a", HOT) < math.inf
