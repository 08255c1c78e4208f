"""Parameters of requests: an answer that shows the effect passes, one of an engine that ignores them is named."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from vlm_acceptance.checks import parameters, parameters_body, parameters_defaults, parameters_stop, parameters_tokens
from vlm_acceptance.checks.parameters_answer import Answered, answer_of, chance_log, first_difference, mass
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, Frame, NoReply, Request
from vlm_acceptance.core.finding import Finding

BROKEN = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "by peer"))
HOT, TIE = 1.5, 0.5


def entry(name: str, p: float = -0.1, **others: float) -> dict[str, Any]:
    """A token named `token_id:N`, or by its text, with its alternatives."""
    top = [{"token": one, "logprob": value} for one, value in {name: p, **others}.items()]
    return {"token": name, "logprob": p, "bytes": list(f" w{name[-1]}".encode()), "top_logprobs": top}


def sure(*numbers: int) -> list[dict[str, Any]]:
    """Tokens that are far likelier than any other."""
    return [entry(f"token_id:{number}", -0.01, **{"token_id:98": -9.0}) for number in numbers]


def unsure(*numbers: int, p: float = -3.0) -> list[dict[str, Any]]:
    """Tokens that are less likely than another one."""
    return [entry(f"token_id:{number}", p, **{"token_id:98": -0.2, "token_id:97": -2.0}) for number in numbers]


def body(entries: Sequence[dict[str, Any]] | None, reason: str = "stop", **more: Any) -> dict[str, Any]:
    tokens = len(entries or ())
    choice = {"index": 0, "message": {"content": more.pop("text", "a text")}, "finish_reason": reason}
    choice |= {"logprobs": None if entries is None else {"content": list(entries)}}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    return {"model": "m", "choices": [choice], "usage": usage, **more}


def answer(entries: Sequence[dict[str, Any]] | None, reason: str = "stop", **more: Any) -> Exchange:
    return Exchange(
        "r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(body(entries, reason, **more)).encode()
    )


def streamed(entries: Sequence[dict[str, Any]], **more: Any) -> Exchange:
    """The same in chunks of one token."""
    usage = body(entries)["usage"]
    chunks = []
    for number, one in enumerate(entries, 1):
        last = number == len(entries)
        piece = {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [one]}}
        chunks.append({"choices": [{**piece, "finish_reason": "length" if last else None}], "usage": more.get("each")})
    raw = [*(json.dumps(chunk) for chunk in (*chunks, {"choices": [], "usage": usage})), "[DONE]"]
    request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)
    return Exchange("s", request, "t", 0, 1, 200, frames=tuple(Frame(n, data) for n, data in enumerate(raw)))


def read(exchange: Exchange) -> Answered:
    found = answer_of(exchange)
    assert isinstance(found, Answered)
    return found


def observed(found: Sequence[Finding]) -> str:
    return " | ".join(one.observed for one in found)


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


def words(*tokens: str, text: str, reason: str = "stop") -> Exchange:
    entries = [{**entry(token), "bytes": list(token.encode())} for token in tokens]
    return answer(entries, reason, text=text)


WHOLE = words("A", " lighthouse", " stands", text="A lighthouse stands")


def test_a_stop_string_inside_a_token_is_chosen() -> None:
    assert parameters_stop.inside_a_token(WHOLE) == "ighthous"
    assert parameters_stop.inside_a_token(words("A", " b", " c", text="A b c")) == ","
    assert parameters_stop.inside_a_token(BROKEN) == ","


@pytest.mark.parametrize(
    ("text", "reason", "is_right"),
    [
        ("A lighthouse", "stop", True),
        ("A ", "stop", False),
        ("A lighthouse stands", "length", False),
        ("A house", "stop", False),
    ],
)
def test_a_stop_string_is_kept(text: str, reason: str, is_right: bool) -> None:
    seen = words("A", " lighthouse", text=text, reason=reason)
    found = parameters_stop.kept("include_stop_str_in_output", seen, WHOLE, "lighthouse", None)
    assert (not found) is is_right


def test_alternatives_are_as_many_as_requested() -> None:
    listed = answer([entry("a", -0.1, b=-2.0, c=-3.0)] * 2)
    assert parameters_body.lists_alternatives("top_logprobs 3", listed, 3) == []
    assert "3 alternatives" in observed(parameters_body.lists_alternatives("top_logprobs 5", listed, 5))
    assert parameters_body.lists_alternatives("logprobs", answer(None), None) == []
    assert "not requested" in observed(parameters_body.lists_alternatives("logprobs", listed, None))
    assert "0 for 0 tokens" in observed(parameters_body.lists_alternatives("logprobs", answer(None), 0))


def test_the_prompt_has_log_probabilities() -> None:
    good = [None, *({"3": {"logprob": -1.0}} for _ in range(4))]
    assert parameters_body.lists_prompt(answer(sure(1), prompt_logprobs=good)) == []
    for wrong in (None, good[:3], [None, *({"3": {"logprob": 1.0}} for _ in range(4))], [1, 2], "x"):
        assert parameters_body.lists_prompt(answer(sure(1), prompt_logprobs=wrong))


def test_tokens_are_named_by_id() -> None:
    assert parameters_body.names_by_id(answer(sure(1))) == []
    assert "named 'word'" in observed(parameters_body.names_by_id(answer([entry("word")])))
    assert "no token" in observed(parameters_body.names_by_id(answer(None)))


def test_token_ids_are_those_of_prompt_and_answer() -> None:
    def with_ids(prompt: Any, mine: Any) -> Exchange:
        made = body(sure(1, 2), prompt_token_ids=prompt)
        made["choices"][0]["token_ids"] = mine
        return Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(made).encode())

    five = [1, 2, 3, 4, 5]
    assert parameters_body.gives_ids(with_ids(five, [1, 2])) == []
    for prompt, mine in ((None, [1, 2]), (five, None), (five, [1, 3]), (five[:4], [1, 2]), (five, ["1", 2]), (7, 7)):
        assert parameters_body.gives_ids(with_ids(prompt, mine))


def test_special_tokens_are_shown_or_left_out() -> None:
    def said(text: str) -> Exchange:
        return words("OK", "<|end|>", " so", text=text)

    for special in ([], ["<|end|>"]):
        assert parameters_body.special_tokens_shown(said("OK<|end|> so"), special, are_shown=True) == []
        assert parameters_body.special_tokens_shown(said("OK so"), special, are_shown=False) == []
        assert parameters_body.special_tokens_shown(said("OK so"), special, are_shown=True)
        assert parameters_body.special_tokens_shown(said("OK<|end|> so"), special, are_shown=False)
    assert parameters_body.special_tokens_shown(words("OK", text="OK"), [], are_shown=True) == []


def test_a_usage_of_each_chunk_grows() -> None:
    def counts(*completions: int) -> Exchange:
        made = [
            {"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": {"prompt_tokens": 5, "completion_tokens": n,
             "total_tokens": 5 + n}} for n in completions
        ]  # fmt: skip
        end = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
        raw = [json.dumps(one) for one in (*made, end)]
        request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)
        return Exchange("s", request, "t", 0, 1, 200, frames=tuple(Frame(n, data) for n, data in enumerate(raw)))

    assert parameters_body.usage_grows(counts(1, 2)) == []
    assert parameters_body.usage_grows(counts(2, 1))
    assert "2 of 2 have none" in observed(parameters_body.usage_grows(streamed(sure(1, 2))))


@pytest.mark.parametrize(("cached", "is_right"), [(0, True), (5, True), (None, True), (6, False), ("1", False)])
def test_cached_tokens_are_a_part_of_the_prompt(cached: Any, is_right: bool) -> None:
    made = body(sure(1))
    made["usage"]["prompt_tokens_details"] = {"cached_tokens": cached}
    exchange = Exchange("r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(made).encode())
    assert (parameters_body.cached_tokens([answer(sure(1)), exchange]) == []) is is_right


def test_a_prompt_has_the_tokens_of_its_form() -> None:
    assert parameters_body.prompt_is(answer(sure(1)), 5, "echo") == []
    assert observed(parameters_body.prompt_is(answer(sure(1)), 7, "echo")) == "echo is not obeyed: 5 tokens"
    assert parameters_body.prompt_is_shorter("echo", answer(sure(1)), answer(sure(1)))
    assert parameters_body.begins_with("echo", answer(sure(1), text="The end"), "The") == []
    assert parameters_body.begins_with("echo", answer(sure(1), text="end"), "The")
    assert parameters_body.tokens_counted(answer(sure(1))) is None


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
