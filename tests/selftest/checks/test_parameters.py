"""Parameters of requests: an answer that shows the effect passes, one of an engine that ignores them is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.made_answers import (
    BROKEN,
    HOT,
    answer,
    body,
    entry,
    observed,
    read,
    streamed,
    sure,
    unsure,
)

from vlm_acceptance.checks import parameters
from vlm_acceptance.checks.parameters_answer import answer_of, chance_log, first_difference
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Request


def test_a_stream_is_read_as_the_plain_answer() -> None:
    one, two = read(answer(sure(1, 2, 3), "length")), read(streamed(sure(1, 2, 3)))
    assert (one.names, one.chosen, one.listed, one.ids) == (two.names, two.chosen, two.listed, (1, 2, 3))
    assert (one.length, one.reason) == (two.length, two.reason) == (3, "length")


@pytest.mark.parametrize("content", [[7], [{"token": 1}], 7, {"a": 1}, [{**entry("x"), "top_logprobs": [1]}]])
def test_log_probabilities_of_any_type_are_no_answer(content: Any) -> None:
    broken = body(sure(1))
    broken["choices"][0]["logprobs"] = {"content": content}
    exchange = Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(broken).encode())
    assert isinstance(answer_of(exchange), NoReply)
    assert parameters.is_greedy("top_k 1", exchange)


@pytest.mark.parametrize("name", ["word", "token_id:", "token_id:x", "token_id:-1", "token_id:" + "9" * 5000])
def test_a_name_that_is_no_id_gives_no_ids(name: str) -> None:
    assert read(answer([*sure(1), entry(name)])).ids is None


def test_the_chance_of_sure_tokens_is_high_and_of_unlikely_ones_low() -> None:
    assert chance_log(read(answer(sure(1, 2))), 1.0) > -0.1
    assert chance_log(read(answer(unsure(*range(20)))), HOT) < -20


def test_the_first_difference_may_be_the_end() -> None:
    assert first_difference("ab", "ab") is None
    assert first_difference("ab", "ac") == 1
    assert first_difference("ab", "abc") == 2


def test_a_length_is_that_of_the_parameter() -> None:
    assert parameters.has_length("max_tokens 3", answer(sure(1, 2, 3), "length"), 3, 3, "length") == []
    longer = parameters.has_length("max_tokens 3", streamed(sure(*range(9))), 3, 3, "length")
    assert observed(longer) == "max_tokens 3 is not obeyed: 9 tokens"
    assert "finish_reason" in observed(parameters.has_length("max_tokens 3", answer(sure(1, 2, 3)), 3, 3, "length"))
    assert "by peer" in observed(parameters.has_length("max_tokens 3", BROKEN, 3, 3, None))


def test_only_the_likeliest_tokens_are_greedy() -> None:
    assert parameters.is_greedy("top_k 1", answer(sure(1, 2, 3))) == []
    assert "2 of 3 tokens" in observed(parameters.is_greedy("top_k 1", answer([*sure(1), *unsure(2, 3)])))
    assert "no log probabilities" in observed(parameters.is_greedy("top_k 1", answer(None)))


def test_sampled_tokens_are_as_unlikely_as_the_temperature_makes_them() -> None:
    # half of the tokens are expected to be another one than the likeliest
    taken = [entry("token_id:1", -0.7, **{"token_id:2": -0.7 - 1e-9})] * 30
    other = [entry("token_id:2", -0.7 - 1e-9, **{"token_id:1": -0.7})] * 30
    mixed, likeliest, rarest = answer([*taken, *other]), answer([*taken, *taken]), answer([*other, *other])
    for temperature in (1.0, HOT):
        assert parameters.is_sampled("temperature", [mixed], temperature) == []
        assert "4 times" in observed(parameters.is_sampled("temperature", [mixed] * 4, temperature))
        assert "0 of 60" in observed(parameters.is_sampled("temperature", [likeliest], temperature))
    assert "60 of 60" in observed(parameters.is_sampled("temperature", [rarest], 1.0))
    assert parameters.is_sampled("temperature", [rarest], HOT) == []  # it may be hotter than is known
    assert parameters.is_sampled("temperature", [answer(sure(*range(20)))] * 4, HOT) == []
    assert "by peer" in observed(parameters.is_sampled("temperature", [mixed, BROKEN], HOT))


def test_without_log_probabilities_sampled_texts_must_differ() -> None:
    assert "3 times" in observed(parameters.is_sampled("temperature", [answer(None)] * 3, HOT))
    assert parameters.is_sampled("temperature", [answer(None), answer(None, text="another")], HOT) == []


@pytest.mark.parametrize("exact", [True, False])
def test_a_seed_gives_the_same_text_and_another_seed_another(exact: bool) -> None:
    one, other = answer(unsure(*range(20))), answer(unsure(*range(50, 70)))
    assert parameters.seed_holds([one, one], other, HOT, exact=exact) == []
    assert "same seed gives another" in observed(parameters.seed_holds([one, other], one, HOT, exact=exact))
    assert "another seed gives the same" in observed(parameters.seed_holds([one, one], one, HOT, exact=exact))


def test_rounding_may_change_a_sampled_token_late_unless_texts_are_equal() -> None:
    one, late, other = (answer(unsure(*numbers)) for numbers in (range(20), (*range(15), 70, 71), range(50, 70)))
    assert parameters.seed_holds([one, late], other, HOT, exact=False) == []
    assert parameters.seed_holds([one, late], other, HOT, exact=True) != []
    assert parameters.needs_another([one, late])
    assert not parameters.needs_another([one, one])


def test_a_seed_of_answers_that_are_not_sampled_is_not_judged() -> None:
    assert parameters.seed_holds([answer(sure(1, 2))] * 2, answer(sure(1, 2)), HOT, exact=True) == []


def test_without_log_probabilities_the_texts_of_seeds_are_judged() -> None:
    one, other = answer(None, text="one"), answer(None, text="other")
    assert parameters.seed_holds([one, one], other, HOT, exact=False) == []
    assert parameters.seed_holds([one, other], one, HOT, exact=False) != []
    assert parameters.seed_holds([one, one], one, HOT, exact=False) != []


def choices(*all_entries: Sequence[dict[str, Any]], indexes: Sequence[Any] = (), tokens: int | None = None) -> Exchange:
    made = [body(entries)["choices"][0] | {"index": number} for number, entries in enumerate(all_entries)]
    for choice, index in zip(made, indexes, strict=False):
        choice["index"] = index
    count = sum(map(len, all_entries)) if tokens is None else tokens
    usage = {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}
    raw = json.dumps({"model": "m", "choices": made, "usage": usage}).encode()
    return Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=raw)


def test_choices_have_indexes_texts_and_tokens_of_their_own() -> None:
    one, other = unsure(*range(20)), unsure(*range(30, 50))
    assert parameters.choices_differ(choices(one, other), 2, HOT) == []
    assert "2 times the same choice" in observed(parameters.choices_differ(choices(one, one), 2, HOT))
    assert "indexes [0]" in observed(parameters.choices_differ(choices(one), 2, HOT))
    assert observed(parameters.choices_differ(choices(one, other, tokens=20), 2, HOT)) == "20"
    assert parameters.choices_differ(choices(one, other, indexes=(0, "1")), 2, HOT)
