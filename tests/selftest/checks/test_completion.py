"""Texts, bodies, token counts and request parameters: right exchanges without a finding, each wrong one found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vlm_acceptance.checks import completion as judge
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.spelling import Spelled

TEXT = "A receipt for Miller, total 12."


def choice(text: str = TEXT, finish: str = "stop", index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}


def body(*choices: dict[str, Any], completion: int = 8, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "completion_tokens": completion, "total_tokens": 5 + completion}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1764000000, "model": "m"}
    return {**head, "choices": list(choices) or [choice()], "usage": usage, **more}


def exchange(answer: Any, status: int = 200, kind: str = "application/json", stream: bool = False) -> Exchange:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    request = Request("POST", "/v1/chat/completions", {}, stream=stream)
    return Exchange("r1", request, "2026-01-01T00:00:00Z", 0, 1, status, {"content-type": kind}, body=raw)


BROKEN = Exchange("r1", Request("POST", "/x"), "t", 0, 1, error=ErrorDetail("reset", "by peer"))


def checks(found: list[Finding]) -> list[str]:
    return [finding.check for finding in found]


def test_a_sound_body_conforms() -> None:
    assert judge.body_conforms("completion", exchange(body())) == []


@pytest.mark.parametrize(
    ("seen", "observed"),
    [
        (exchange(body(), 500), "HTTP 500"),
        (BROKEN, "reset: by peer"),
        (exchange(body(), kind="text/html"), "text/html"),
        (exchange(b"<html>"), "<html>"),
        (exchange(b"\xff"), "xff"),
        (exchange(body(id=None)), "None"),
        (exchange([]), "[]"),
    ],
)
def test_a_body_that_clients_cannot_parse_is_found(seen: Exchange, observed: str) -> None:
    (finding,) = judge.body_conforms("completion", seen)
    assert finding.check.startswith("schema.")
    assert observed in finding.observed


def test_usage_that_does_not_add_up_is_found() -> None:
    assert judge.usage_of_exchange(exchange(body()), max_tokens=64) == []
    assert checks(judge.usage_of_exchange(exchange(body()), max_tokens=7)) == ["usage.limit"]
    assert checks(judge.usage_of_exchange(BROKEN, max_tokens=7)) == ["usage.answer"]


def test_two_answers_must_have_the_same_usage() -> None:
    plain, longer = exchange(body()), exchange(body(completion=9))
    assert judge.same_usage(plain, plain) == []
    assert checks(judge.same_usage(longer, plain)) == ["stream.usage"]
    assert checks(judge.same_usage(exchange(body(usage=None)), plain)) == ["stream.usage"]
    assert judge.same_usage(BROKEN, plain) == []  # another check reports it


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (body(choice(finish="length"), completion=5), []),
        (body(choice(), completion=5), ["max_tokens.reason"]),
        (body(choice(finish="length"), completion=6), ["max_tokens.count"]),
        (body(choice(finish="length"), usage=None), ["max_tokens.count"]),
        (body(), ["max_tokens.reason", "max_tokens.count"]),
        ({"error": "x"}, ["protocol.answer"]),
    ],
)
def test_max_tokens_must_cut_with_finish_reason_length(answer: Any, expected: list[str]) -> None:
    assert checks(judge.cut_at(exchange(answer), 5)) == expected


def test_a_stop_word_is_long_enough_and_not_the_first() -> None:
    assert judge.stop_word(Reply(TEXT, "stop", None, "m", 0.1)) == "receipt"
    assert judge.stop_word(Reply("Red", "stop", None, "m", 0.1)) == ","
    assert judge.stop_word(NoReply("gone")) == ","


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("A ", "stop", []),
        ("A", "stop", ["stop.text"]),
        ("A receipt", "stop", ["stop.text"]),
        (TEXT, "length", ["stop.reason", "stop.text"]),
        ("A ", "length", ["stop.reason"]),
    ],
)
def test_a_stop_string_must_end_the_answer_before_it(text: str, finish: str, expected: list[str]) -> None:
    seen = exchange(body(choice(text, finish)))
    assert checks(judge.stopped_before(seen, exchange(body()), "receipt")) == expected


def test_a_missing_stopped_answer_is_found() -> None:
    assert checks(judge.stopped_before(BROKEN, exchange(body()), "x")) == ["protocol.answer"]
    assert checks(judge.stopped_before(BROKEN, BROKEN, "x")) == ["protocol.answer"] * 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (body(choice(), choice(index=1)), []),
        (body(choice(index=1), choice(index=0)), []),
        (body(choice()), ["n.choices"]),
        (body(choice(), choice()), ["n.choices"]),
        (body(choice(), choice(index=1), choice(index=2)), ["n.choices"]),
        (body(choice(), choice(index=1), completion=1), ["n.usage"]),
    ],
)
def test_n_choices_must_be_there_with_their_own_indexes(answer: Any, expected: list[str]) -> None:
    assert checks(judge.choices_are(exchange(answer), 2)) == expected


def test_choices_of_a_refused_request_are_found() -> None:
    assert checks(judge.choices_are(exchange(body(), 400), 2)) == ["schema.completion"]


def entries(count: int, top: int = 2, value: float = -0.5) -> dict[str, Any]:
    token = {"token": "a", "logprob": value, "bytes": [97]}
    return {"content": [{**token, "top_logprobs": [token] * top} for _ in range(count)]}


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (entries(3), []),
        (entries(3, top=3), []),
        (entries(2), ["logprobs.count"]),
        (entries(3, top=1), ["logprobs.top"] * 3),
        (entries(3, top=4), ["logprobs.top"] * 3),
        ({"content": []}, ["logprobs.content"]),
        (None, ["logprobs.content"]),
    ],
)
def test_log_probabilities_must_be_one_a_token(logprobs: Any, expected: list[str]) -> None:
    seen = exchange(body(choice(logprobs=logprobs), completion=3))
    assert checks(judge.logprobs_are(seen, top=2)) == expected


def test_a_log_probability_above_zero_is_found() -> None:
    found = judge.logprobs_are(exchange(body(choice(logprobs=entries(3, value=0.5)), completion=3)), top=2)
    assert found


def drawn(*chosen: float) -> dict[str, Any]:
    """Tokens of these log probabilities, each beside alternatives of which the likeliest has -0.5."""
    token = {"token": "a", "logprob": -0.5, "bytes": [97]}
    return {
        "content": [
            {**token, "logprob": one, "top_logprobs": [{**token, "logprob": one}, *[token] * 4]} for one in chosen
        ]
    }


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ((-0.5, -0.5, -0.5), []),
        ((-0.1, -0.55, -0.5), []),
        ((-0.5, -0.5, -0.7), ["logprobs.drawn"]),
        ((-2.0, -0.5), ["logprobs.count"]),
    ],
)
def test_greedy_tokens_are_the_likeliest(chosen: tuple[float, ...], expected: list[str]) -> None:
    seen = exchange(body(choice(logprobs=drawn(*chosen)), completion=3))
    assert checks(judge.greedy(seen, 0.1)) == expected


def test_ids_must_be_there_and_differ() -> None:
    one, two = exchange(body(id="a")), exchange(body(id="b"))
    assert judge.unique_ids([one, two]) == []
    assert checks(judge.unique_ids([one, two, one])) == ["ids.unique"]
    assert checks(judge.unique_ids([exchange({"id": ""})] * 2)) == ["ids.unique"]
    assert checks(judge.unique_ids([one, exchange({})])) == ["ids.missing"]
    assert checks(judge.unique_ids([one, BROKEN])) == ["ids.missing"]
    assert checks(judge.unique_ids([one, exchange([])])) == ["ids.missing"]


@pytest.mark.parametrize(
    ("plain", "streamed", "expected"),
    [("a", "a", []), ("a", "b", ["openai.stream"]), ("", "", ["openai.text"])],
)
def test_the_official_client_must_get_one_text_twice(plain: str, streamed: str, expected: list[str]) -> None:
    assert checks(judge.client_texts(Spelled(plain), Spelled(streamed))) == expected


def test_the_official_clients_texts_may_differ_at_a_near_tie_and_must_be_what_their_tokens_spell() -> None:
    plain = Spelled("red", ("red",), (-0.6,), ((("blue", -0.7),),))
    assert judge.client_texts(plain, Spelled("blue"), 0.5) == []
    assert checks(judge.client_texts(plain, Spelled("blue"), 0.05)) == ["openai.stream"]
    assert checks(judge.client_texts(replace(plain, text="der"), Spelled("der"), 0.5)) == ["logprobs.spelling"]


def answered(text: str, *tokens: str, finish: str = "stop", **ties: tuple[str, float]) -> Exchange:
    """An answer with its tokens; at token N of `tN=(other, gap)` another one is only `gap` nats behind."""
    entries = []
    for number, token in enumerate(tokens):
        other, gap = ties.get(f"t{number}", ("?", 9.0))
        listed = [{"token": token, "logprob": -0.1}, {"token": other, "logprob": -0.1 - gap}]
        entries.append({**listed[0], "top_logprobs": listed})
    return exchange(body(choice(text, finish, logprobs={"content": entries}), completion=len(tokens)))


WHOLE = answered("A receipt for Miller", "A", " receipt", " for", " Miller", t1=(" bill", 0.2))


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        (answered("A ", "A", " receipt"), []),
        (
            answered("A bill for Miller", "A", " bill", " for", " Miller"),
            [],
        ),  # another word at a near-tie, no stop string
        (answered("A bill and a ", "A", " bill", " and", " a", " receipt"), []),
        (answered("A bill and a receipt", "A", " bill", " and", " a", " receipt"), ["stop.text"]),
        (answered("A card", "A", " card"), ["stop.text"]),
        (answered("A", "A", " receipt"), ["stop.text"]),
        (answered("A receipt for Miller", "A", " receipt", " for", " Miller"), ["stop.text"]),
    ],
)
def test_a_stopped_answer_may_leave_the_whole_one_at_a_near_tie(stopped: Exchange, expected: list[str]) -> None:
    assert checks(judge.stopped_before(stopped, WHOLE, "receipt", 0.5)) == expected


@pytest.mark.parametrize(
    ("seen", "stop", "expected"),
    [
        (WHOLE, "", []),
        (answered("A ", "A", " receipt"), "receipt", []),
        (answered("A ", "A", " receipt"), "", ["logprobs.spelling"]),
        (answered("A bill", "A", " receipt"), "", ["logprobs.spelling"]),
        (exchange(body()), "", []),
        (exchange(body(choice(logprobs={"content": [{"token": TEXT, "logprob": -0.1}]}))), "", ["logprobs.count"]),
        (BROKEN, "", ["protocol.answer"]),
    ],
)
def test_an_answer_must_be_what_its_own_tokens_spell_and_count(seen: Exchange, stop: str, expected: list[str]) -> None:
    assert checks(judge.own_tokens(seen, 64, stop)) == expected


def test_different_texts_may_have_different_usage_for_one_prompt() -> None:
    one, other = exchange(body(choice("a"))), exchange(body(choice("b"), completion=9))
    assert judge.same_usage(one, other) == []
    assert checks(judge.same_usage(one, exchange(body(choice("a"), completion=9)))) == ["stream.usage"]
    longer = body(choice("b"), completion=9)
    longer["usage"]["prompt_tokens"] = 6
    assert checks(judge.same_usage(one, exchange(longer))) == ["stream.usage"]


def test_the_model_must_be_named() -> None:
    assert judge.names_model(exchange(body()), "m") == []
    assert checks(judge.names_model(exchange(body()), "other")) == ["schema.model"]
    assert checks(judge.names_model(exchange(body(model=None)), "m")) == ["schema.model"]


@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_an_answer_needs_text(text: str) -> None:
    (finding,) = judge.answered(Reply(text, "stop", None, "m", 0.1))
    assert finding.fatal


def test_a_missing_answer_is_found() -> None:
    assert judge.answered(Reply("OK", "stop", None, "m", 0.1)) == []
    assert [finding.observed for finding in judge.answered(NoReply("HTTP 500: x"))] == ["HTTP 500: x"]


def reply(usage: Usage | None, text: str = "RIVER 472", finish: str = "stop") -> Reply:
    return Reply(text, finish, usage, "internvl2-2b", 0.2)


def usage_checks(answer: Reply, **limits: int) -> list[str]:
    return [finding.check for finding in judge.usage_is_sound(answer, **limits)]


def test_sound_counts_have_no_finding() -> None:
    assert usage_checks(reply(Usage(106, 8, 114)), max_tokens=64, max_model_len=4096) == []


def test_a_missing_usage_block_is_a_finding_and_not_zero() -> None:
    assert usage_checks(reply(None)) == ["usage.missing"]


@pytest.mark.parametrize("total", [113, 115, 0])
def test_counts_that_do_not_add_up_are_found(total: int) -> None:
    assert usage_checks(reply(Usage(106, 8, total))) == ["usage.sum"]


def test_an_empty_prompt_is_found() -> None:
    assert usage_checks(reply(Usage(0, 8, 8))) == ["usage.prompt"]


def test_a_text_without_tokens_is_found() -> None:
    assert usage_checks(reply(Usage(106, 0, 106))) == ["usage.completion"]
    assert usage_checks(reply(Usage(106, 0, 106), text="")) == []


def test_more_tokens_than_asked_for_are_found() -> None:
    assert usage_checks(reply(Usage(106, 9, 115)), max_tokens=8) == ["usage.limit"]
    assert usage_checks(reply(Usage(106, 8, 114)), max_tokens=8) == []


def test_length_means_that_a_limit_was_reached() -> None:
    assert usage_checks(reply(Usage(106, 8, 114), finish="length"), max_tokens=8) == []
    assert usage_checks(reply(Usage(106, 7, 113), finish="length"), max_tokens=8) == ["usage.limit"]
    assert usage_checks(reply(Usage(106, 7, 113), finish="length")) == []


def test_a_full_context_window_is_such_a_limit() -> None:
    full = reply(Usage(4000, 96, 4096), finish="length")

    assert usage_checks(full, max_tokens=200, max_model_len=4096) == []
    assert usage_checks(full, max_tokens=200, max_model_len=8192) == ["usage.limit"]
