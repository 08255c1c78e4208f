"""Faults of a load, each seen to act through the proxy and to leave alone what it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import FAULTS
from standins.fault_proxy import FaultProxy
from standins.probes import STREAM, arrivals, ask, ask_text, chat, send
from standins.quick_server import CHAT, MODEL, Behaviour, QuickServer
from tests.support.runs import eventually

from vlm_acceptance.client.chat import chat as chat_request
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import DisconnectingClient
from vlm_acceptance.client.http import Client

SEEN = {"one-slow", "starved", "failure-spreads", "slot-kept", "tpot-grows"}


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def seconds(url: str, count: int) -> list[float]:
    """How long each of so many questions took, one after another."""
    took = []
    for number in range(count):
        began = time.monotonic()
        assert ask_text(url, f"{number}") == f"{number}"
        took.append(time.monotonic() - began)
    return took


def test_all_faults_of_this_family_are_seen_here() -> None:
    assert {fault.name for fault in FAULTS.values() if fault.family == "load"} == SEEN


def test_one_of_fifty_is_slow(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "one-slow", magnitude=0.5) as proxy:
        took = seconds(proxy.url, 50)
    assert took.index(max(took)) == 25
    assert took[25] >= 0.5


def test_one_of_sixteen_waits_for_quiet(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "starved", magnitude=0.5) as proxy:
        took = seconds(proxy.url, 16)
    assert took.index(max(took)) == 8
    assert took[8] > 0.4


def test_a_refusal_fails_requests_in_flight_and_no_later_one() -> None:
    with QuickServer(Behaviour(token_delay_s=1.5)) as slow, FaultProxy(slow.url, "failure-spreads") as proxy:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(send, proxy.url, "POST", CHAT, chat())
            assert eventually(lambda: slow.prompt_tokens > 0)  # its answer is made
            slow.behaviour = Behaviour()
            refused = send(proxy.url, "POST", CHAT, {**chat(), "model": "another"})
            statuses = (waiting.result().status_code, refused.status_code)
        later = send(proxy.url, "POST", CHAT, chat()).status_code
    assert statuses == (500, 404)
    assert later == 200


def running(url: str) -> str:
    """The line of the running requests."""
    page = ask(url, "metrics").text
    return next(line for line in page.splitlines() if line.startswith("vllm:num_requests_running"))


def test_an_abandoned_stream_stays_counted(engine: QuickServer) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.02)
    body = chat_body(MODEL, " ".join(["word"] * 60), max_tokens=90, **STREAM)
    with FaultProxy(engine.url, "slot-kept") as proxy:
        assert Client(proxy.url).send(chat_request({**body, "max_tokens": 3}, 10)).status == 200
        before = running(proxy.url)
        DisconnectingClient(Client(proxy.url), 3, lambda: None).send(chat_request(body, 10))
        assert eventually(lambda: running(proxy.url).endswith(" 1.0"))
        time.sleep(2)  # longer than the stream would have been
        assert running(proxy.url).endswith(" 1.0")
    assert before.endswith(" 0.0")


@pytest.mark.parametrize("is_stream", [True, False])
def test_tokens_take_longer_and_longer(is_stream: bool, engine: QuickServer) -> None:
    with FaultProxy(engine.url, "tpot-grows", magnitude=6) as proxy:
        first = arrivals(proxy.url, stream=is_stream)[-1]
        time.sleep(1)
        later = arrivals(proxy.url, stream=is_stream)[-1]
    assert first < later
    assert later > 0.25
