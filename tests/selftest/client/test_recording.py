"""The client of the tests: it records every exchange; only the first request of a kind has a long deadline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient, kind_of
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.exchange import Exchange, Request


@pytest.fixture(scope="module")
def server() -> Iterator[QuickServer]:
    with QuickServer() as quick:
        yield quick


def client_of(url: str, recorded: list[Exchange], **deadlines: float) -> RecordingClient:
    limits = Deadlines(**{"health_s": 5, "request_s": 10, "cold_s": 20, **deadlines})
    return RecordingClient(Client(url), MODEL, limits, recorded.append, set())


def test_the_first_of_each_kind_may_compile(server: QuickServer) -> None:
    recorded: list[Exchange] = []
    client = client_of(server.url, recorded)
    for extra in ({}, {}, {"logprobs": True}, {"logprobs": True}, {"stream": True}, {}):
        client.chat("one two", **extra)
    client.chat("one two", ("data:image/png;base64,AA",))
    assert [exchange.request.deadline_s for exchange in recorded] == [20, 10, 20, 10, 20, 10, 20]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (chat_body("m", "q"), "chat"),
        (chat_body("m", "q", prompt_logprobs=5), "chat+prompt_logprobs"),
        (chat_body("m", "q", ("u",)), "chat+picture"),
        (chat_body("m", "q", n=2, temperature=0.7), "chat+n+sampled"),
        (chat_body("m", "q", ("u",), stream=True, logprobs=True), "chat+stream+logprobs+picture"),
        ({"model": "m"}, "chat"),
        ({"messages": "hello"}, "chat"),
        ({"messages": [3, None]}, "chat"),
    ],
)
def test_a_kind_depends_on_the_features_of_a_body_and_not_on_its_words(body: dict[str, object], kind: str) -> None:
    assert kind_of(body) == kind


def test_a_request_may_have_a_deadline_of_its_own(server: QuickServer) -> None:
    recorded: list[Exchange] = []
    client = client_of(server.url, recorded)
    for deadline_s in (None, None, 15, None):
        client.body(chat_body(MODEL, "one two"), deadline_s)
    assert [exchange.request.deadline_s for exchange in recorded] == [20, 10, 15, 10]


def test_every_exchange_is_recorded_in_the_order_sent(server: QuickServer) -> None:
    recorded: list[Exchange] = []
    client = client_of(server.url, recorded)
    answers = client.all([chat_body(MODEL, f"question {n}") for n in range(8)], 4)
    assert recorded == answers
    assert [f"question {n}" in exchange.body.decode() for n, exchange in enumerate(answers)] == [True] * 8
    client.get("/health")
    client.send(Request("POST", "/nowhere", {}))
    assert [exchange.status for exchange in recorded[-2:]] == [200, 404]
    assert recorded[-2].request.deadline_s == 5


def test_a_missing_answer_is_recorded_too() -> None:
    recorded: list[Exchange] = []
    with QuickServer(Behaviour(chat_status=0)) as silent:
        exchange = client_of(silent.url, recorded, cold_s=0.3).chat("one")
    assert exchange.error is not None
    assert exchange.error.kind == "timeout"
    assert recorded == [exchange]


def test_fields_of_a_body_can_be_replaced(server: QuickServer) -> None:
    client_of(server.url, []).chat("q", temperature=0.7, max_tokens=3, seed=1)
    sent = server.seen[-1].json()
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["seed"]) == (MODEL, 0.7, 3, 1)


def test_what_is_recorded_of_many_requests_may_have_another_form(server: QuickServer) -> None:
    recorded: list[Exchange] = []
    client = client_of(server.url, recorded)
    bodies = [chat_body(MODEL, "one two"), chat_body(MODEL, "three")]
    found = client.all(bodies, 2, lambda one: replace(one, body=b"short"))
    assert found == recorded
    assert [one.body for one in found] == [b"short", b"short"]
