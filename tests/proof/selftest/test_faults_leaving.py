"""Each fault of clients that leave, or come late, acts on them and on nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from faults import FAULTS
from standins.fault_proxy import FaultProxy
from standins.probes import ask, chat, picture_url, send
from standins.quick_server import CHAT, MODEL, Behaviour, QuickServer
from tests.support.runs import eventually

from vlm_acceptance.client.chat import chat as chat_request
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import LeavingClient
from vlm_acceptance.client.http import Client

SEEN = {
    "left-unstreamed-kept",
    "left-waiting-kept",
    "left-long-prompt-kept",
    "left-picture-poisons",
    "left-answer-given",
    "idle-first-503",
    "idle-first-reset",
}
URL = picture_url()
OTHER = picture_url((32, 64))


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def leave(engine: QuickServer, url: str, body: dict[str, Any]) -> None:
    """Send a request and close its connection before its answer is complete."""
    client, asked = LeavingClient(Client(url)), engine.chats
    engine.behaviour = Behaviour(token_delay_s=1.0)
    thread = threading.Thread(target=client.send, args=[chat_request(body, 30)])
    thread.start()
    assert eventually(lambda: engine.chats > asked)
    time.sleep(0.2)
    client.leave()
    thread.join()
    engine.behaviour = Behaviour()


def figure(url: str, name: str) -> float:
    page = ask(url, "metrics").text
    line = next(line for line in page.splitlines() if line.startswith(f"vllm:num_requests_{name}"))
    return float(line.split()[-1])


def body(text: str = "one two three four", *pictures: str, **more: Any) -> dict[str, Any]:
    return chat_body(MODEL, text, pictures, **more)


def test_all_faults_of_this_family_are_seen_here() -> None:
    assert {fault.name for fault in FAULTS.values() if fault.family == "leaving"} == SEEN


@pytest.mark.parametrize(
    ("fault", "name", "is_hit", "is_not_hit"),
    [
        ("left-unstreamed-kept", "running", body(), body(stream=True)),
        ("left-waiting-kept", "waiting", body(), body(stream=True)),
        ("left-long-prompt-kept", "running", body("word " * 500, stream=True), body(stream=True)),
    ],
)
def test_a_place_of_one_kind_of_leavers_is_kept(
    engine: QuickServer, fault: str, name: str, is_hit: dict[str, Any], is_not_hit: dict[str, Any]
) -> None:
    other = "waiting" if name == "running" else "running"
    most = {"magnitude": 0.5} if fault == "left-waiting-kept" else {}
    with FaultProxy(engine.url, fault, **most) as proxy:
        send(proxy.url, "POST", CHAT, is_hit)
        leave(engine, proxy.url, is_not_hit)
        time.sleep(1.5)  # until the proxy has seen it
        assert figure(proxy.url, name) == 0
        leave(engine, proxy.url, is_hit)
        assert eventually(lambda: figure(proxy.url, name) == 1)
        assert figure(proxy.url, other) == 0


@pytest.mark.parametrize("stream", [True, False])
def test_the_picture_of_a_leaver_is_poisoned_and_no_other(engine: QuickServer, stream: bool) -> None:
    with FaultProxy(engine.url, "left-picture-poisons") as proxy:
        assert send(proxy.url, "POST", CHAT, body("one", URL)).status_code == 200
        leave(engine, proxy.url, body("one two three", URL, stream=stream))
        assert eventually(lambda: send(proxy.url, "POST", CHAT, body("one", URL)).status_code == 500)
        for fine in (body("one", OTHER), body("one")):
            assert send(proxy.url, "POST", CHAT, fine).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_the_answer_of_a_leaver_is_given_to_the_next_request_alone(engine: QuickServer, stream: bool) -> None:
    with FaultProxy(engine.url, "left-answer-given") as proxy:
        leave(engine, proxy.url, body("one two three", URL, stream=stream))
        time.sleep(2)  # until the proxy has seen it, and asked for the answer
        texts = [
            send(proxy.url, "POST", CHAT, chat(word)).json()["choices"][0]["message"]["content"]
            for word in ("six", "seven")
        ]
    assert texts == ["one two three", "seven"]


def test_the_first_request_after_a_pause_fails_and_no_other(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "idle-first-503", magnitude=1.5) as proxy:
        statuses = [send(proxy.url, "POST", CHAT, chat()).status_code]
        time.sleep(2)
        ask(proxy.url, "health")
        statuses += [send(proxy.url, "POST", CHAT, chat()).status_code for _ in range(2)]
    assert statuses == [200, 503, 200]


def test_the_first_request_after_a_pause_loses_its_connection(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "idle-first-reset", magnitude=1.5) as proxy:
        time.sleep(2)
        exchanges = [Client(proxy.url).send(chat_request(chat(), 10)) for _ in range(2)]
    assert exchanges[0].error is not None
    assert exchanges[1].status == 200
