"""The faults of edge inputs change what they promise."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from fault_stages import Call
from faults_inputs import is_broken, is_edge_input
from standins.fault_proxy import FaultProxy
from standins.probes import chat, picture_url, send
from standins.quick_server import CHAT, QuickServer

from vlm_acceptance.cases.edge_inputs import black_png

WHOLE = picture_url()
BROKEN = WHOLE[:-40]
JSON = {"Content-Type": "application/json"}
LONG_TEXT = "one " * 5000


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        server.behaviour = replace(server.behaviour, max_model_len=4096)
        yield server


def about(url: str, text: str = "What is this?") -> dict[str, Any]:
    body = copy.deepcopy(chat(text, picture=True))
    body["messages"][0]["content"][0]["image_url"]["url"] = url
    return body


@pytest.mark.parametrize("url", [BROKEN, "data:image/png;base64,%%%", "data:image/png;base64,"])
def test_a_picture_that_cannot_be_read_is_broken(url: str) -> None:
    assert is_broken(url)


@pytest.mark.parametrize("url", [WHOLE, "http://127.0.0.1/x.png", ""])
def test_what_can_be_read_or_is_elsewhere_is_not_broken(url: str) -> None:
    assert not is_broken(url)


@pytest.mark.parametrize("fault", ["temperature-forced", "image-bgr", "resets-on-broken", "picture-shrunk"])
def test_a_fault_passes_on_what_it_cannot_read(fault: str, engine: QuickServer) -> None:
    huge = "data:image/png;base64," + base64.b64encode(black_png(20_000)).decode()
    lone = json.dumps({**about(WHOLE, "a lone \ud800 in it")})
    with FaultProxy(engine.url, fault) as proxy:  # which fails when it broke
        for body in (json.dumps(about(huge)), lone):
            with contextlib.suppress(requests.ConnectionError):
                requests.post(f"{proxy.url}{CHAT}", data=body, headers=JSON, timeout=10)


def test_a_picture_is_poisoned_by_a_refusal_and_no_other_is(engine: QuickServer) -> None:
    other = picture_url((32, 32))
    with FaultProxy(engine.url, "refused-poisons") as proxy:
        statuses = [
            send(proxy.url, "POST", CHAT, body).status_code
            for body in (about(WHOLE), about(WHOLE, LONG_TEXT), about(WHOLE), about(other), chat())
        ]
    assert statuses == [200, 400, 500, 200, 200]


def test_a_refused_picture_fails_once(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "refused-fails-once") as proxy:
        statuses = [
            send(proxy.url, "POST", CHAT, body).status_code
            for body in (about(WHOLE, LONG_TEXT), about(WHOLE), about(WHOLE), chat())
        ]
    assert statuses == [400, 500, 200, 200]


def test_every_picture_but_the_refused_one_is_poisoned(engine: QuickServer) -> None:
    other = picture_url((32, 32))
    with FaultProxy(engine.url, "refused-poisons-others") as proxy:
        statuses = [
            send(proxy.url, "POST", CHAT, body).status_code
            for body in (about(other), about(WHOLE, LONG_TEXT), about(WHOLE), about(other), chat())
        ]
    assert statuses == [200, 400, 200, 500, 200]


def test_a_picture_is_poisoned_by_being_counted(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "counted-poisons") as proxy:
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).status_code == 200
        assert send(proxy.url, "POST", "/tokenize", about(WHOLE)).status_code == 200
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).status_code == 500
        assert send(proxy.url, "POST", CHAT, about(picture_url((32, 32)))).status_code == 200


def test_only_a_broken_picture_is_reset(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "resets-on-broken") as proxy:
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).status_code == 200
        with pytest.raises(requests.ConnectionError):
            send(proxy.url, "POST", CHAT, about(BROKEN))


def test_a_broken_picture_hangs_for_the_magnitude(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "hangs-on-broken", magnitude=1) as proxy:
        with pytest.raises(requests.ConnectionError):
            send(proxy.url, "POST", CHAT, about(BROKEN))
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).elapsed.total_seconds() < 1


def test_the_engine_is_asked_not_to_stop(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "never-stops") as proxy:
        send(proxy.url, "POST", CHAT, chat())
    assert engine.seen[-1].json()["ignore_eos"] is True


def said(**fields: Any) -> Call:
    return Call(0, "POST", CHAT, {}, json.dumps({**chat(), **fields}).encode())


EDGE_INPUTS = {
    "unknown field": said(no_such_field=1),
    "negative": said(n=-1),
    "huge": said(max_tokens=10**9),
    "role": said(messages=[{"role": "wizard", "content": "Say OK."}]),
    "empty": said(messages=[{"role": "user", "content": ""}]),
    "nul": said(messages=[{"role": "user", "content": "a\0b"}]),
    "surrogate": said(messages=[{"role": "user", "content": "\ud800"}]),
    "address": said(**about("http://127.0.0.1/x.png")),
    "wrong type": said(**about(WHOLE.replace("image/png", "image/jpeg"))),
    "no JSON": Call(0, "POST", CHAT, {}, b"["),
    "deep": Call(0, "POST", CHAT, {}, b"[" * 100_000),
}


@pytest.mark.parametrize("name", EDGE_INPUTS)
def test_a_request_that_only_edge_inputs_contain_is_found(name: str) -> None:
    assert is_edge_input(EDGE_INPUTS[name])


def test_plain_requests_are_no_edge_inputs() -> None:
    plain = (said(), said(temperature=0, max_tokens=64, n=2, seed=7), said(**about(WHOLE)))
    assert not any(map(is_edge_input, plain))


@pytest.mark.parametrize(("fault", "status"), [("odd-accepted", 200), ("odd-500", 500)])
def test_only_edge_inputs_are_changed(engine: QuickServer, fault: str, status: int) -> None:
    with FaultProxy(engine.url, fault) as proxy:
        assert send(proxy.url, "POST", CHAT, {**chat(), "n": -1}).status_code == status
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).json()["choices"][0]["message"]["content"] != "OK."


def test_pictures_alone_are_refused(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "pictures-refused") as proxy:
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).status_code == 500
        assert send(proxy.url, "POST", CHAT, chat()).status_code == 200
