"""Conversations by their tokens: what a right one costs, and how each loss is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks import conversation as checks
from vlm_acceptance.checks.served_prompt import PromptTokens
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Reply, Request, Usage

ALONE = ("alone", "alone, longer")
PARTS = ["the system message", "the first question"]


def reply_with(prompt: int) -> Reply:
    return Reply("ok", "length", Usage(prompt, 1, prompt + 1), "m", 0.1)


def exchange_of(body: bytes) -> Exchange:
    return Exchange("r1", Request("POST", CHAT, {}), "", 0, 1, 200, {}, body=body)


def counted(**more: int) -> dict[str, Any]:
    counts = {"alone": 10, "alone, longer": 17, "base": 40, PARTS[0]: 47, PARTS[1]: 47, **more}
    return {name: reply_with(prompt=count) for name, count in counts.items()}


def arrive(replies: dict[str, Any]) -> list[tuple[kinds.FindingClass, str, str]]:
    found = checks.parts_arrive(replies, ALONE, "base", PARTS)
    return [(one.kind, one.where, one.observed) for one in found]


def test_parts_that_cost_their_words_arrive():
    assert arrive(counted()) == []


@pytest.mark.parametrize(
    ("count", "kind", "says"),
    [
        (40, kinds.CONVERSATION_LOST, "0 more: it does not reach the model"),
        (54, kinds.CONVERSATION_TWICE, "14 more: it reaches the model 2 times"),
        (45, kinds.CONVERSATION_LOST, "5 more: it reaches the model in part, or changed"),
        (30, kinds.CONVERSATION_LOST, "-10 more: it reaches the model in part, or changed"),
    ],
)
def test_a_part_that_does_not_is_named(count, kind, says):
    assert arrive(counted(**{PARTS[0]: count})) == [(kind, PARTS[0], says)]


def test_a_lost_part_has_its_hint():
    lost = counted(**{PARTS[0]: 40, PARTS[1]: 45})
    found = checks.parts_arrive(lost, ALONE, "base", PARTS, dict.fromkeys(PARTS, "serve otherwise"))
    assert [one.observed.rpartition("; ")[2] == "serve otherwise" for one in found] == [True, False]


def test_words_that_cost_nothing_alone_are_found():
    assert [kind for kind, *_ in arrive(counted(**{ALONE[1]: 10}))] == [kinds.CONVERSATION_LOST]


def test_an_answer_that_is_missing_is_found():
    replies = {**counted(), PARTS[1]: NoReply("HTTP 500")}
    assert arrive(replies) == [(kinds.CONVERSATION_ANSWER, PARTS[1], "HTTP 500")]


def prompt(*texts: str) -> PromptTokens:
    return PromptTokens(tuple(sum(map(ord, text)) for text in texts), texts)


@pytest.mark.parametrize(
    ("texts", "is_right"),
    [("a 1111 b 2222", True), ("a 2222 b 1111", False), ("a 1111", False), ("1111 2222 1111", False)],
)
def test_the_number_of_each_part_occurs_once_and_in_order(texts, is_right):
    assert (checks.markers_in_order(prompt(*texts), ["1111", "2222"]) == []) is is_right


def test_without_texts_no_order_is_judged():
    assert checks.markers_in_order(PromptTokens((1, 2), ()), ["1111"]) == []


RIGHT = prompt("<s>", "<user>", "hello", "<end>")


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (RIGHT, None),
        (prompt("<user>", "hello", "<end>"), "it does not begin with '<s>'"),
        (
            prompt("<s>", "<system>", "\u0120Be", "\u0120good", "<user>", "hello", "<end>"),
            "was not sent: '<system> Be good'",
        ),
        (prompt("<s>", "<user>", "<end>"), "a text of 1 tokens is missing: 'hello'"),
        (prompt("<s>", "User:", "hello", "</s>"), "the template of another model, or other texts"),
        (PromptTokens((), ()), "a text of 4 tokens is missing"),
    ],
)
def test_another_prompt_is_named(seen, says):
    found = checks.same_prompt(seen, RIGHT, "<s>", "here")
    assert (found == []) is (says is None)
    assert not found or says in found[0].observed


def test_usage_is_compared_with_the_prompt():
    assert checks.same_count(reply_with(prompt=4), 4, "the template gives", "usage") == []
    [found] = checks.same_count(reply_with(prompt=5), 4, "the template gives", "usage")
    assert (found.kind, found.observed) == (kinds.CONVERSATION_TEMPLATE, "5 in usage")


def test_pictures_cost_as_alone():
    counts = {"alone": 10, "seen": 30, "base": 50, "turn 1": 72, "turn 2": 53}
    replies = {name: reply_with(prompt=count) for name, count in counts.items()}
    [found] = checks.pictures_cost_as_alone(replies, ("alone", "seen"), "base", ["turn 1", "turn 2"])
    assert (found.where, found.observed) == ("turn 2", "3 more: it does not reach the model")


def test_tiles_are_exact():
    replies = {name: reply_with(prompt=count) for name, count in {"base": 50, "1": 82, "2": 50, "3": 66}.items()}
    found = checks.tiles_arrive(replies, "base", {"1": 32, "2": 32, "3": 32})
    assert [(one.where, one.observed) for one in found] == [
        ("2", "0 more: the picture does not reach the model"),
        ("3", "16 more: not all of its tiles reach the model"),
    ]


SEEN = [("", 1), ("1111", 2), *[("<p>", 9)] * 4, ("2222", 3), *[("<p>", 9)] * 2, ("3333", 4)]


def places(pairs: Any) -> list[Any]:
    served = PromptTokens(tuple(ident for _, ident in pairs), tuple(text for text, _ in pairs))
    return checks.pictures_in_place(served, [4, 2], ["2222", "3333"], ["1111", "2222", "3333"], "here")


def test_pictures_stand_before_their_questions():
    assert places(SEEN) == []
    assert places([*SEEN[:2], *SEEN[7:9], SEEN[6], *SEEN[2:6], SEEN[9]]) != []  # swapped
    assert places([*SEEN[:2], SEEN[6], *SEEN[2:6], *SEEN[7:]]) != []  # both before the last question
    assert places([*SEEN[:6], *SEEN[6:7], *SEEN[9:]]) != []  # one is lost


def test_without_texts_the_order_of_pictures_is_judged():
    def found(*ids: int) -> list[Any]:
        return checks.pictures_in_place(PromptTokens(ids, ()), [3, 2], ["2222", "3333"], ["1111"], "here")

    assert found(1, 9, 9, 9, 2, 9, 9) == []
    assert found(1, 9, 9, 2, 9, 9, 9) != []


@pytest.mark.parametrize("listed", [None, [], "1", [1, "2"], [1, True], {"a": 1}, [1.0]])
def test_ids_that_are_none_are_not_read(listed):
    assert checks.prompt_ids(exchange_of(json.dumps({"prompt_token_ids": listed}).encode())) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a": NaN}', b"[" * 5000])
def test_a_body_that_is_none_has_no_ids(body):
    assert checks.prompt_ids(exchange_of(body)) is None


def test_ids_are_read():
    assert checks.prompt_ids(exchange_of(b'{"prompt_token_ids": [1, 2]}')) == (1, 2)
