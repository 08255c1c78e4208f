"""A text beside its tokens: what counts as spelled, and how tokens are read from bodies and streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.core.exchange import Exchange, Frame, NoReply, Request
from vlm_acceptance.core.spelling import Spelled, spelled_by, spelled_of


def entry(token: str, logprob: float = -0.1, *others: tuple[str, float]) -> dict[str, Any]:
    top = [(token, logprob), *others]
    listed = [{"token": text, "logprob": p, "bytes": list(text.encode())} for text, p in top]
    return {**listed[0], "top_logprobs": listed}


def body(text: str, *entries: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop", "logprobs": {"content": list(entries)}}
    return {"choices": [choice], "model": "m"}


def exchange(value: Any, status: int = 200) -> Exchange:
    return Exchange("x", Request("POST", "/"), "", 0, 1, status=status, body=json.dumps(value).encode())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A red car.", ("A", " red", " car", ".", "<|im_end|>")),
        ("A red car.", ("A", "red", "car", ".", " </s>")),  # a slow tokenizer drops blanks
        ("A car.", ("A", " car", " ", ".")),
        ("A car", ("A", " car", " ", ".")),  # cleaned up, and the point was lost
        ("it's here", ("it", " '", "s", " here")),
        ("it' here", ("it", " '", "s", " here")),  # cleaned up, and the letter was lost
        ("do nt", ("do", " n", "'t")),
        ("收据", ("", "", "", "据")),  # a character of three tokens
        ("收据", ("\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}", "据")),
        ("a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b", ("a", "", "b")),  # other checks refuse such a text
        # as vLLM 0.18 shows three parts of each character: the second one with its last byte doubled
        ("车站 93", ("", "载", "", "", "竫", "", " 93")),
        ("是银行 47", ("", "是铓", "", "", "衡", "", " 47")),
        ("", ("<|im_end|>",)),
    ],
)
def test_a_text_is_spelled_by_its_tokens(text: str, tokens: tuple[str, ...]) -> None:
    assert Spelled(text, tokens).is_spelled


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A red car", ("A", " blue", " car")),
        ("A car red", ("A", " red", " car")),
        ("A car", ("A", " red", " car")),
        ("A red red car", ("A", " red", " car")),
        ("A red", ("A", " red", " car")),
        ("A red car.", ("A", " red", " car")),
        ("æ\x94¶", ("收",)),
        ("It was a cat's tail", ("It", " was", " a", " cat", "'s", " paw")),
        ("A red car<|im_end|>", ("A", " red", " car")),
        ("A \N{REPLACEMENT CHARACTER}ed car", ("A", " red", " car")),
        ("红收据", ("蓝", "", "", "据")),
        ("收据是红的", ("", "", "", "据", "是", "蓝", "的")),
        ("收 car", ("", "", "", " red")),
    ],
)
def test_a_changed_lost_or_added_word_is_not_spelled(text: str, tokens: tuple[str, ...]) -> None:
    assert not Spelled(text, tokens).is_spelled


def test_a_stopped_text_is_spelled_before_its_stop_string() -> None:
    stopped = Spelled("A ", ("A", " receip", "ts"))
    assert stopped.is_spelled_before("receipt")
    assert not stopped.is_spelled
    assert not stopped.is_spelled_before("bill")
    assert not Spelled("A", ("A", " pink", " receipt")).is_spelled_before("receipt")


def test_the_other_likeliest_tokens_do_not_hold_the_chosen_one() -> None:
    answer = spelled_of(exchange(body("A red", entry("A", -0.1, ("The", -2.0)), entry(" red", -0.5, (" red", -1.0)))))
    assert isinstance(answer, Spelled)
    assert (answer.tokens, answer.chosen) == (("A", " red"), (-0.1, -0.5))
    assert answer.others == ((("The", -2.0),), ((" red", -1.0),))


def test_tokens_named_by_ids_have_the_text_of_their_bytes() -> None:
    one = entry("token_id:5", -0.1, ("token_id:7", -0.3))
    one["bytes"] = list(b"A")
    answer = spelled_by("A", [body("A", one)])
    assert (answer.tokens, answer.others) == (("A",), ((("", -0.3),),))
    one["bytes"] = None
    assert spelled_by("A", [body("A", one)]) == Spelled("A")


def test_a_stream_gives_the_tokens_of_all_its_chunks() -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [entry(text)]}}]}
        for text in ("A", " red")
    ]
    events = [*map(json.dumps, chunks), json.dumps({"choices": [], "usage": None}), "[DONE]"]
    frames = tuple(Frame(n, event) for n, event in enumerate(events))
    answer = spelled_of(Exchange("x", Request("POST", "/", stream=True), "", 0, 1, status=200, frames=frames))
    assert isinstance(answer, Spelled)
    assert (answer.text, answer.tokens) == ("A red", ("A", " red"))


def test_an_answer_without_log_probabilities_has_no_tokens_and_says_why() -> None:
    bare = spelled_of(exchange(body("A")))
    assert isinstance(bare, Spelled)
    assert (bare.tokens, bare.why) == ((), "no log probabilities")
    broken = spelled_of(exchange(body("A", {"token": "A"})))
    assert isinstance(broken, Spelled)
    assert "KeyError" in broken.why
    assert isinstance(spelled_of(exchange({}, status=500)), NoReply)


@pytest.mark.parametrize(("text", "tokens"), [("12.34", ("12", ".", "34")), ("1,234", (" 1", ",", "234"))])
def test_a_number_that_lost_its_mark_is_not_spelled(text: str, tokens: tuple[str, ...]) -> None:
    assert Spelled(text, tokens).is_spelled
    assert not Spelled(text.replace(".", "").replace(",", ""), tokens).is_spelled
