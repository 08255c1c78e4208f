"""Parameters that change tokens: an answer leaves its reference where it must, and only there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.made_answers import (
    TIE,
    answer,
    entry,
    observed,
    read,
    sure,
)

from vlm_acceptance.checks import parameters_tokens
from vlm_acceptance.core.exchange import Exchange, Request

# token 2 is generated twice, the second time with another one only a little behind
REFERENCE = read(answer([*sure(1, 2), *sure(3), entry("token_id:2", -0.5, **{"token_id:4": -1.5}), *sure(5)]))
PENALTY = parameters_tokens.presence(2.0)


def test_the_place_of_a_change_is_known_before() -> None:
    change = parameters_tokens.change_of(REFERENCE, PENALTY, TIE)
    assert change is not None
    assert (change.at, change.behind) == (3, pytest.approx(1.0))
    assert parameters_tokens.change_of(REFERENCE, parameters_tokens.frequency(0.5), TIE) is None
    assert parameters_tokens.frequency(2.0)("a", ["a", "b", "a"]) == -4.0


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((1, 2, 3, 4, 8), ""),
        ((1, 2, 3, 2, 5), "token 3 is still 'token_id:2'"),  # ignored
        ((1, 2, 3, 98, 5), ""),  # not listed there, so not known to be less likely
        ((1, 98, 3, 2, 5), "token 1 is 'token_id:98'"),  # changed where nothing changes
        ((1, 2), ""),  # cut before
    ],
)
def test_an_answer_leaves_the_reference_where_it_must(numbers: Sequence[int], says: str) -> None:
    found = parameters_tokens.leaves("presence_penalty 2.0", answer(sure(*numbers)), REFERENCE, PENALTY, TIE)
    assert (observed(found) == "") if says == "" else (says in observed(found))


def test_a_repetition_penalty_leaves_few_repeated_tokens() -> None:
    reference = read(answer(sure(1, 2, 1, 2, 1, 2, 1, 2)))
    assert parameters_tokens.repeats_less("p", answer(sure(1, 2, 3, 4, 5, 6, 1, 8)), reference) == []
    assert "6 of 8" in observed(parameters_tokens.repeats_less("p", answer(sure(1, 2, 1, 2, 1, 2, 1, 2)), reference))


FORBIDDEN = ("token_id:2", "token_id:3")


def test_only_allowed_tokens_and_never_a_forbidden_one() -> None:
    assert parameters_tokens.only("allowed_token_ids [1, 2]", answer(sure(1, 2, 1)), [1, 2]) == []
    assert "the first is 3" in observed(parameters_tokens.only("allowed_token_ids [1]", answer(sure(1, 3)), [1]))
    assert "no token ids" in observed(parameters_tokens.only("p", answer([entry("word")]), [1]))
    assert parameters_tokens.never("bad_words ['w']", answer(sure(1, 3, 2)), FORBIDDEN, "w") == []
    assert "at token 1" in observed(parameters_tokens.never("bad_words ['w']", answer(sure(1, 2, 3)), FORBIDDEN, "w"))


def test_a_stop_token_ends_the_answer() -> None:
    reference = read(answer(sure(1, 2, 3, 4, 5), "length"))
    assert parameters_tokens.token_to_end_at(reference) == 3
    judged = [
        parameters_tokens.ends_at("stop_token_ids [4]", exchange, "token_id:4", reference, TIE)
        for exchange in (
            answer(sure(1, 2, 3, 4)),
            answer(sure(1, 2, 3)),  # the token that ended it is left out
            answer(sure(1, 2, 3, 4, 5), "length"),
            answer(sure(1, 2, 98), "length"),
        )
    ]
    assert judged[:2] == [[], []]
    assert "1 tokens after it" in observed(judged[2])
    assert "3 tokens without it" in observed(judged[3])


def test_words_are_found_with_their_tokens_and_parts_of_words_are_not() -> None:
    tokens = ("A", " tall", " light", "house", "<|end|>", "stands", " tall", "er", " here", "by")
    entries = [{**entry(f"token_id:{n}"), "bytes": list(text.encode())} for n, text in enumerate(tokens)]
    seen = read(answer(entries, text="A tall lighthouse stands taller hereby"))
    assert list(parameters_tokens.words_of(seen)) == [
        ("lighthouse", ("token_id:2", "token_id:3")),
        ("stands", ("token_id:5",)),
        ("taller", ("token_id:6", "token_id:7")),
        ("hereby", ("token_id:8", "token_id:9")),
    ]
    assert list(parameters_tokens.words_of(read(answer(None)))) == []


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [([1, 2, 3], True), ([2, 3], True), ([3], False), ([3, 2], False), (None, True), ([], False)],
)
def test_a_word_is_forbidden_by_the_tokens_that_the_tokenizer_gives_it(tokens: Any, expected: bool) -> None:
    encoded = Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, 200, body=json.dumps({"tokens": tokens}).encode())
    assert parameters_tokens.is_encoded_so(FORBIDDEN, encoded) is expected


def test_a_word_that_is_repeated_can_be_forbidden_too() -> None:
    tokens = ("A", " lamp", " and", " lamp")
    entries = [{**entry(f"token_id:{n}"), "bytes": list(text.encode())} for n, text in enumerate(tokens)]
    seen = read(answer(entries, text="A lamp and lamp"))
    assert [word for word, _ in parameters_tokens.words_of(seen)] == ["lamp", "and"]
