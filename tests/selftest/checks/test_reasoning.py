"""Reasoning that is apart from the text, and each way in which it is not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tool_answers import plain, streamed

from vlm_acceptance.checks import reasoning as checks
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, Request

THOUGHT = "From 9:40 to 11:05 it is one hour and 25 minutes."


def found(exchange: Exchange) -> list[str]:
    return [finding.check for finding in checks.apart(exchange, 7)]


def answer(content: Any, reasoning: Any = THOUGHT, reason: str = "stop") -> Exchange:
    return plain({"content": content, "reasoning": reasoning}, reason)


def test_reasoning_apart_has_no_finding() -> None:
    assert found(answer("85")) == []
    assert found(streamed({"reasoning_content": THOUGHT}, {"content": "85"}, reason="stop")) == []
    # a short thought may be in the text by chance
    assert found(answer("It is 85.", "85")) == []


def test_an_answer_that_was_cut_may_have_no_text_yet() -> None:
    assert found(answer(None, reason="length")) == []
    assert found(answer(None)) == ["reasoning.answer"]
    assert found(plain({"content": None, "reasoning": THOUGHT}, "length", {"completion_tokens": 6})) == [
        "reasoning.answer"
    ]


@pytest.mark.parametrize(
    ("exchange", "checked"),
    [
        (answer(f"{THOUGHT} 85"), ["reasoning.content"]),
        (answer("</think>85"), ["reasoning.content"]),
        (answer("<tool_call>85"), ["reasoning.content"]),
        (answer(f"<think>{THOUGHT}</think>85", None), ["reasoning.content", "reasoning.missing"]),
        (answer("85", None), ["reasoning.missing"]),
        (answer("85", " \n"), ["reasoning.missing"]),
        (answer("85", 5), ["reasoning.answer"]),
        (streamed({"content": "85"}, {"reasoning": THOUGHT}, reason="stop"), ["reasoning.order"]),
        (Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "gone")), ["reasoning.answer"]),
    ],
)
def test_reasoning_that_is_not_apart_is_named(exchange: Exchange, checked: list[str]) -> None:
    assert found(exchange) == checked
