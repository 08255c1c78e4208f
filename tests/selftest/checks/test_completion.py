"""What request parameters must do: right exchanges without a finding, and each wrong one found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks import completion as protocol
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request
from vlm_acceptance.core.finding import Finding

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
    assert protocol.body_conforms("completion", exchange(body())) == []


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
    (finding,) = protocol.body_conforms("completion", seen)
    assert finding.check.startswith("schema.")
    assert observed in finding.observed


def test_usage_that_does_not_add_up_is_found() -> None:
    assert protocol.usage_of_exchange(exchange(body()), max_tokens=64) == []
    assert checks(protocol.usage_of_exchange(exchange(body()), max_tokens=7)) == ["usage.limit"]
    assert checks(protocol.usage_of_exchange(BROKEN, max_tokens=7)) == ["usage.answer"]


def test_two_answers_must_have_the_same_usage() -> None:
    plain, longer = exchange(body()), exchange(body(completion=9))
    assert protocol.same_usage(plain, plain) == []
    assert checks(protocol.same_usage(longer, plain)) == ["stream.usage"]
    assert checks(protocol.same_usage(exchange(body(usage=None)), plain)) == ["stream.usage"]
    assert protocol.same_usage(BROKEN, plain) == []  # another check says that


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
def test_max_tokens_must_cut_and_say_so(answer: Any, expected: list[str]) -> None:
    assert checks(protocol.cut_at(exchange(answer), 5)) == expected


def test_a_stop_word_is_long_enough_and_not_the_first() -> None:
    assert protocol.stop_word(Reply(TEXT, "stop", None, "m", 0.1)) == "receipt"
    assert protocol.stop_word(Reply("Red", "stop", None, "m", 0.1)) == ","
    assert protocol.stop_word(NoReply("gone")) == ","


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
    assert checks(protocol.stopped_before(seen, exchange(body()), "receipt")) == expected


def test_a_stopped_answer_that_is_not_there_is_found() -> None:
    assert checks(protocol.stopped_before(BROKEN, exchange(body()), "x")) == ["protocol.answer"]
    assert checks(protocol.stopped_before(BROKEN, BROKEN, "x")) == ["protocol.answer"] * 2


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
    assert checks(protocol.choices_are(exchange(answer), 2)) == expected


def test_choices_of_a_refused_request_are_found() -> None:
    assert checks(protocol.choices_are(exchange(body(), 400), 2)) == ["schema.completion"]


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
    assert checks(protocol.logprobs_are(seen, top=2)) == expected


def test_a_log_probability_above_zero_is_found() -> None:
    found = protocol.logprobs_are(exchange(body(choice(logprobs=entries(3, value=0.5)), completion=3)), top=2)
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
    assert checks(protocol.greedy(seen, 0.1)) == expected


def test_ids_must_be_there_and_differ() -> None:
    one, two = exchange(body(id="a")), exchange(body(id="b"))
    assert protocol.unique_ids([one, two]) == []
    assert checks(protocol.unique_ids([one, two, one])) == ["ids.unique"]
    assert checks(protocol.unique_ids([one, exchange({})])) == ["ids.missing"]
    assert checks(protocol.unique_ids([one, BROKEN])) == ["ids.missing"]
    assert checks(protocol.unique_ids([one, exchange([])])) == ["ids.missing"]


@pytest.mark.parametrize(
    ("plain", "streamed", "expected"),
    [("a", "a", []), ("a", "b", ["openai.stream"]), ("", "", ["openai.text"]), (None, "", ["openai.text"])],
)
def test_the_official_client_must_get_one_text_twice(plain: str | None, streamed: str, expected: list[str]) -> None:
    assert checks(protocol.client_texts(plain, streamed)) == expected


def test_the_model_must_be_named() -> None:
    assert protocol.names_model(exchange(body()), "m") == []
    assert checks(protocol.names_model(exchange(body()), "other")) == ["schema.model"]
    assert checks(protocol.names_model(exchange(body(model=None)), "m")) == ["schema.model"]
