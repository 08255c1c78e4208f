"""JSON whose numbers are numbers, and comparisons that nothing else passes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vlm_acceptance.core.numbers import BadNumber, figure, is_at_least, is_at_most, largest, mean, middle, read_json

NO_FIGURES = (math.nan, math.inf, -math.inf, 10**400, True, False, None, "1", "text", [1], {})
WRITTEN = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "-" + "9" * 25)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_number_that_is_none_is_named_with_its_place(written: str) -> None:
    with pytest.raises(BadNumber) as seen:
        read_json(f'{{"usage": {{}}, "choices": [{{"a": 1}}, {{"logprob": {written}}}]}}')
    assert str(seen.value) == f"{written[:40]} at $.choices[1].logprob is not a number of JSON"


def test_a_bad_number_alone_or_behind_a_repeated_key_is_refused_too() -> None:
    for text in ("NaN", '{"a": NaN, "a": 1}', b"[[[-Infinity]]]"):
        with pytest.raises(BadNumber):
            read_json(text)


def test_the_name_of_a_long_or_hostile_key_is_cut_and_escaped() -> None:
    with pytest.raises(BadNumber) as seen:
        read_json('{"' + "\\u001b[2J" * 100 + '": NaN}')
    assert len(str(seen.value)) < 400
    assert "\x1b" not in str(seen.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nan", "inf", "'1'", b"\xff", '{"a": 1e}'])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("-0.0", -0.0), ("1e-3", 0.001), ("9007199254740993", 2**53 + 1), (str(-(2**63)), -(2**63)), ("null", None)],
)
def test_numbers_of_json_are_read_as_they_are(text: str, value: object) -> None:
    assert read_json(text) == value
    assert read_json(f'["NaN", {{"b": {text}}}]'.encode()) == ["NaN", {"b": value}]


@pytest.mark.parametrize("value", NO_FIGURES, ids=lambda value: repr(value)[:8])
def test_what_is_no_figure_passes_no_comparison(value: Any) -> None:
    for limit in (-1.0, 0, 1, math.inf, -math.inf):
        assert not is_at_most(value, limit)
        assert not is_at_least(value, limit)
    with pytest.raises(ValueError, match="is not a finite number"):
        figure(value)
    for values in ([value, 1.0, 2.0], [1.0, value, 2.0], [1.0, 2.0, value]):
        assert all(math.isnan(one(values)) for one in (middle, mean, largest))


def test_figures_are_compared_as_numbers() -> None:
    assert is_at_most(1, 1)
    assert is_at_most(-0.0, 0)
    assert not is_at_most(1.1, 1)
    assert is_at_least(1, 1)
    assert not is_at_least(0.9, 1)
    assert (middle([3, 1, 2]), mean([1, 2]), largest([1, 3, 2]), figure(2)) == (2, 1.5, 3, 2.0)


def test_without_values_nothing_is_within_a_limit() -> None:
    assert mean([]) == largest([]) == math.inf


def test_figures_too_large_to_add_up_have_no_mean() -> None:
    assert math.isnan(mean([1e308, 1e308]))
    assert not is_at_most(mean([1e308, 1e308]), 1e308)
