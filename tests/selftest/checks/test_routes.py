"""Routes that answer like chat, and each way in which they do not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.support.route_bodies import COMPLETION, RESPONSE, TEXT, completion, completion_stream, response

from vlm_acceptance.checks import routes as checks
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, NoReply, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.route_answers import COMPLETIONS, RESPONSES, RouteAnswer

MODEL = "a/b"


def chat(text: str = TEXT, reason: str = "stop", prompt: int = 5, tokens: int = 3) -> Exchange:
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    body = {"id": "c", "model": "m", "choices": [choice], "usage": usage}
    return Exchange("r0", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(body).encode())


def of(path: str, status: int, body: Any, method: str = "POST") -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("r1", Request(method, path, {}), "t", 0, 1, status, body=raw)


def answer(exchange: Exchange) -> RouteAnswer:
    read = checks.read(exchange, "completions")
    assert isinstance(read, RouteAnswer)
    return read


def ids(found: list[Finding]) -> list[str]:
    return [finding.check for finding in found]


@pytest.mark.parametrize("status", [404, 405])
def test_a_route_that_is_not_offered_names_the_key(status: int) -> None:
    finding = checks.read(of(COMPLETIONS, status, {"detail": "Not Found"}), "completions")
    assert isinstance(finding, Finding)
    assert finding.check == "routes.missing"
    assert finding.expected == "/v1/completions is offered: the profile wants it (api.routes: completions)"
    assert finding.observed.startswith(f"HTTP {status} at /v1/completions: ")


@pytest.mark.parametrize(
    ("exchange", "check"),
    [
        (of(COMPLETIONS, 500, b"oh"), "routes.answer"),
        (of(RESPONSES, 200, b"{}"), "routes.answer"),
        (Exchange("r1", Request("POST", RESPONSES), "t", 0, 1, error=ErrorDetail("reset", "gone")), "routes.answer"),
        (completion_stream("a", done=False), "routes.stream"),
    ],
)
def test_a_route_without_an_answer_is_found(exchange: Exchange, check: str) -> None:
    finding = checks.read(exchange, "responses")
    assert isinstance(finding, Finding)
    assert finding.check == check
    assert exchange.request.path in finding.observed


def test_the_answer_of_chat_is_right() -> None:
    for exchange in (completion(), completion_stream("It is", " 4."), response()):
        assert checks.like_chat(answer(exchange), chat(), None) == []


@pytest.mark.parametrize(
    ("other", "check"),
    [
        (chat("It is 5."), "routes.text"),
        (chat(reason="length"), "routes.text"),
        (chat(prompt=6), "routes.usage"),
        (chat(tokens=4), "routes.usage"),
        (of(CHAT, 500, b"oh"), "protocol.answer"),
    ],
)
def test_another_answer_than_chats_is_found(other: Exchange, check: str) -> None:
    assert ids(checks.like_chat(answer(completion()), other, None)) == [check]


def test_a_near_tie_is_no_difference() -> None:
    # " 5." is 1.7 nats less likely than " 4."
    assert checks.like_chat(answer(completion()), chat("It is 5."), 2.0) == []
    assert ids(checks.like_chat(answer(completion()), chat("It is 5."), 0.5)) == ["routes.text"]


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 9}])
def test_counts_that_are_missing_or_do_not_add_up_are_found(usage: Any) -> None:
    made = answer(completion({**COMPLETION, "usage": usage}))
    assert ids(checks.like_chat(made, chat(), None)) == ["routes.usage"]


def test_a_cut_is_judged() -> None:
    cut = answer(completion(finish_reason="length"))
    assert checks.cut_at(cut, 3) == []
    assert ids(checks.cut_at(cut, 2)) == ["routes.parameter"]
    assert ids(checks.cut_at(answer(completion()), 3)) == ["routes.parameter"]
    incomplete = answer(response({**RESPONSE, "status": "incomplete"}))
    assert checks.cut_at(incomplete, 3) == []


def test_a_stop_string_is_judged() -> None:
    whole = answer(completion())
    assert checks.stopped_before(answer(completion(text="It ")), whole, "is", None) == []
    assert ids(checks.stopped_before(whole, whole, "is", None)) == ["routes.parameter"]
    late = answer(completion(text="It ", finish_reason="length"))
    assert ids(checks.stopped_before(late, whole, "is", None)) == ["routes.parameter"]
    # it took " 5.", which was nearly as likely, and never came to the string
    assert checks.stopped_before(answer(completion(text="It is 5.")), whole, "4.", 2.0) == []
    assert ids(checks.stopped_before(answer(completion(text="It is 5.")), whole, "4.", None)) == ["routes.parameter"]


def test_an_echo_is_judged() -> None:
    plain = answer(completion())
    assert checks.echoed(answer(completion(text=f"Say: {TEXT}")), plain, "Say: ", None) == []
    assert ids(checks.echoed(plain, plain, "Say: ", None)) == ["routes.parameter"]
    assert ids(checks.echoed(answer(completion(text="Say: no")), plain, "Say: ", None)) == ["routes.parameter"]


def test_choices_and_log_probabilities_are_judged() -> None:
    one = answer(completion())
    assert checks.has_choices(one, 1) == []
    assert ids(checks.has_choices(one, 2)) == ["routes.parameter"]
    assert checks.lists_logprobs(one, 2) == []
    assert ids(checks.lists_logprobs(one, 3)) == ["routes.parameter"]
    assert ids(checks.lists_logprobs(answer(completion(logprobs=None)), 2)) == ["routes.parameter"]


@pytest.mark.parametrize("value", [0.5, "x", None, True])
def test_a_log_probability_that_is_none_is_found(value: Any) -> None:
    body = copy.deepcopy(COMPLETION)
    body["choices"][0]["logprobs"]["token_logprobs"][1] = value
    assert ids(checks.lists_logprobs(answer(completion(body)), 2)) == ["routes.parameter"]


def tokens(listed: Any, count: Any = None) -> Exchange:
    return of("/tokenize", 200, {"tokens": listed, "count": len(listed) if count is None else count})


def test_a_round_trip_is_judged() -> None:
    back = of("/detokenize", 200, {"prompt": " It is 4."})
    assert checks.round_trip(tokens([1, 2]), back, TEXT) == []
    for other in ({"prompt": "It is ."}, {"prompt": None}, {}, [], b"oh"):
        assert ids(checks.round_trip(tokens([1, 2]), of("/detokenize", 200, other), TEXT)) == ["routes.tokens"]


@pytest.mark.parametrize(
    "listed", [tokens([]), tokens([1], 2), tokens([-1]), tokens("ab"), tokens([1.5]), of("/tokenize", 500, b"oh")]
)
def test_tokens_that_are_none_are_found(listed: Exchange) -> None:
    assert ids(checks.round_trip(listed, None, TEXT)) == ["routes.tokens"]


def test_tokens_are_counted_as_chat_counts_them() -> None:
    assert checks.counts_as_chat(tokens([1] * 5), chat()) == []
    assert ids(checks.counts_as_chat(tokens([1] * 4), chat())) == ["routes.tokens"]


@pytest.mark.parametrize(
    ("body", "is_right"), [({"id": MODEL}, True), ({"id": "b"}, False), ({}, False), ([], False), (b"", False)]
)
def test_a_model_card_is_judged(body: Any, is_right: bool) -> None:
    found = checks.names_the_model(of("/v1/models/a/b", 200, body, "GET"), MODEL)
    assert ids(found) == ([] if is_right else ["routes.model"])


def test_what_the_official_client_reads_is_judged() -> None:
    own = answer(completion())
    assert checks.client_reads((TEXT, TEXT), own, None) == []
    (finding,) = checks.client_reads((TEXT, "It"), own, None)
    assert (finding.check, finding.where) == ("openai.text", "streamed")
    (finding,) = checks.client_reads(NoReply("JSONDecodeError: char 0"), own, None)
    assert finding.observed == "the official openai client cannot read /v1/completions: JSONDecodeError: char 0"


def test_a_prompt_that_starts_twice_has_one_token_more() -> None:
    own = answer(completion())
    assert own.usage is not None
    counts = [own.usage.prompt - 1, own.usage.prompt, own.usage.prompt - 2]
    assert [checks.starts_twice(own, chat(prompt=count)) for count in counts] == [True, False, False]
    assert not checks.starts_twice(own, of(CHAT, 500, b"oh"))


def test_of_another_prompt_the_official_client_reads_some_text() -> None:
    assert checks.client_reads_a_text(("a", "b"), "/x") == []
    assert ids(checks.client_reads_a_text(("a", " "), "/x")) == ["openai.text"]
    assert ids(checks.client_reads_a_text(NoReply("JSONDecodeError"), "/x")) == ["openai.error"]
