"""Faults of capacity and preemption, each seen to act through the proxy and to leave alone what it should."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import faults_capacity
import pytest
from fault_stages import CHAT, Call, Dose, Response, Stages, dumped, frame_of, text_of
from faults import FAULTS
from standins.fault_proxy import FaultProxy
from standins.probes import arrivals, send
from standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance.client.chat import chat_body, plain_url

LOADED = {"fails-under-load", "answers-cut-under-load", "prompts-cut-under-load"}
SLOW = {"one-at-a-time", "slower-than-recorded", "too-slow-alone"}
PREEMPTED = {"preempted-swapped", "preempted-cut", "preemptions-uncounted"}
PAGE = b'# TYPE vllm:num_preemptions counter\nvllm:num_preemptions_total{engine="0"} %d.0\nvllm:other 5.0\n'


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def test_all_faults_of_this_family_are_seen_here() -> None:
    assert {fault.name for fault in FAULTS.values() if fault.family == "capacity"} == LOADED | SLOW | PREEMPTED


def at_once(url: str, count: int, stream: bool) -> list[Any]:
    """So many requests at the same time, each of 12 words."""
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = chat_body(MODEL, " ".join(["word"] * 12), max_tokens=8, **options)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: send(url, "POST", CHAT, body), range(count)))


@contextmanager
def all_together(url: str, count: int) -> Iterator[str]:
    """The address of a proxy that passes the first chat request on when so many have come: no answer is too early."""
    barrier = threading.Barrier(count)

    def wait(call: Call) -> Call:
        if call.is_chat:
            barrier.wait(timeout=60)
        return call

    with FaultProxy(url, stages=Stages(request=wait)) as proxy:
        yield proxy.url


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("fault", sorted(LOADED))
def test_faults_of_a_load_do_nothing_below_it(fault: str, is_stream: bool, engine: QuickServer) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.05)
    with FaultProxy(engine.url, fault) as proxy:
        few = at_once(proxy.url, 4, is_stream)
    with FaultProxy(engine.url) as proxy:
        right = at_once(proxy.url, 4, is_stream)
    assert [len(one.text) for one in few] == [len(one.text) for one in right]


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("fault", sorted(LOADED))
def test_faults_of_a_load_act_under_it(fault: str, is_stream: bool, engine: QuickServer) -> None:
    count = faults_capacity.MANY + 14
    one_is_answered_by_the_fault = fault == "fails-under-load"
    with all_together(engine.url, count - one_is_answered_by_the_fault) as gate, FaultProxy(gate, fault) as proxy:
        seen = at_once(proxy.url, count, is_stream)
    if fault == "fails-under-load":
        assert [one.status_code for one in seen].count(500) == 1
        return
    shown = "completion_tokens" if fault == "answers-cut-under-load" else "prompt_tokens"
    assert len({count for one in seen for count in re.findall(rf'"{shown}": ?(\d+)', one.text)}) == 2


def test_answers_begin_one_after_the_other(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "one-at-a-time", magnitude=0.2) as proxy:
        began = time.monotonic()
        at_once(proxy.url, 4, True)
        at_once(proxy.url, 4, False)
        took = time.monotonic() - began
    assert took >= 8 * 0.2


@pytest.mark.parametrize("fault", ["slower-than-recorded", "too-slow-alone"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_each_answer_begins_later(fault: str, is_stream: bool, engine: QuickServer) -> None:
    with FaultProxy(engine.url, fault, magnitude=0.4) as proxy:
        assert arrivals(proxy.url, stream=is_stream)[0] >= 0.4


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The counter of an engine that preempts: what it shows next."""
    values = [0.0]
    monkeypatch.setattr("faults_capacity._preempted", lambda dose: values[0])
    return values


def asked(number: int) -> Call:
    body = chat_body(MODEL, "What is this?", (plain_url(8, 8),))
    return Call(number, "POST", CHAT, {}, dumped(body))


def answer(text: str) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Response(200, {}, dumped({"choices": [choice]}))


def streamed(*pieces: str) -> Iterator[bytes]:
    for piece in pieces:
        yield frame_of({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})


@pytest.mark.parametrize(("fault", "second"), [("preempted-swapped", "first"), ("preempted-cut", "sec")])
def test_answers_change_only_after_a_preemption(fault: str, second: str, counted: list[float]) -> None:
    stages = FAULTS[fault].apply(Dose(1))
    seen = []
    for number, text in enumerate(("first", "second", "first", "second")):
        call = stages.request(asked(number))
        counted[0] += number in (0, 1, 3)
        if number < 2:
            seen.append(stages.response(call, answer(text)).body.decode().split('"content":"')[1].split('"')[0])
        else:
            pieces = stages.frames(call, streamed(text[:2], text[2:]))
            seen.append("".join(map(text_of, pieces)))
    assert seen == [{"preempted-cut": "fi"}.get(fault, "first"), second, "first", second]


def test_texts_without_a_picture_are_left_alone(counted: list[float]) -> None:
    stages = FAULTS["preempted-cut"].apply(Dose(1))
    call = stages.request(replace(asked(0), body=dumped(chat_body(MODEL, "Count."))))
    counted[0] += 1
    assert stages.response(call, answer("first")) == answer("first")


def test_only_the_counter_of_preemptions_stands_still() -> None:
    stages = FAULTS["preemptions-uncounted"].apply(Dose(1))
    page = stages.response(Call(0, "GET", "/metrics", {}), Response(200, {}, PAGE % 7))
    assert page.body == PAGE % 0


def test_the_counter_is_read_from_the_engine() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE % 7)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert faults_capacity._preempted(Dose(1, upstream=f"http://127.0.0.1:{server.server_port}")) == 7
