"""What is read as an answer, and what is none."""

from __future__ import annotations

import json

import pytest
from tests.support.wire import completion

from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Reply, Request


def answered(text: str, asked: object) -> Reply | NoReply:
    body = json.dumps(completion(text)).encode()
    return Exchange("r1", Request("POST", CHAT, asked), "", 0, 1, 200, body=body).reply


@pytest.mark.parametrize(
    "text", ["word " * 100_000, "a" * 300_000, "图" * 300_000], ids=["words", "letters", "Chinese"]
)
def test_a_text_that_its_tokens_cannot_have_is_no_answer(text: str) -> None:
    seen = answered(text, {"max_tokens": 64})
    assert isinstance(seen, NoReply)
    assert seen.reason == f"the text has {len(text)} characters, more than 64 tokens can have"


@pytest.mark.parametrize(
    "asked", [{"max_tokens": 64}, {"max_tokens": 1}, {"max_tokens": True}, {"max_tokens": "many"}, {}, None, b"{}", [1]]
)
def test_a_text_of_usual_length_is_an_answer(asked: object) -> None:
    assert isinstance(answered("word " * 2000, asked), Reply)


def test_a_long_text_is_an_answer_where_many_tokens_were_asked_for() -> None:
    assert isinstance(answered("word " * 100_000, {"max_tokens": 1000}), Reply)
