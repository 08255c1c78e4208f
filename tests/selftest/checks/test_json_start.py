"""A text that was cut: the start of JSON, or not."""

from __future__ import annotations

import json

import pytest

from vlm_acceptance.checks.json_start import is_start_of_json

VALUE = {"a": [1, -2.5, True, None, 'x\\"\u00e9y{'], "b": {"c": [], "d": "false"}}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_start_of_json_is_one(indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(VALUE, indent=indent, ensure_ascii=ascii_only)
    # a number may be cut behind its minus or its point
    starts = [text[:cut] for cut in range(len(text) + 1)]
    assert [start for start in starts if not is_start_of_json(start)] == []


@pytest.mark.parametrize(
    "text",
    ["OK", '{"a"}', '{"a": x', "{a", '{"a": 1}}', "[1, 2}", "```json\n{", '{"a": 1} and', "{,", '{"a" "b"', "[" * 65],
)
def test_what_cannot_become_json_is_none(text: str) -> None:
    assert not is_start_of_json(text)


def test_a_long_text_is_judged_at_once() -> None:
    assert is_start_of_json('{"a": "' + "x\\\\" * 20_000)
    assert is_start_of_json("\n" * 20_000)
