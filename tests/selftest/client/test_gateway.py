"""A gateway's pace is kept, what it postpones is sent again, and its headers and certificates are used."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.wire import WireRequest, WireServer, response

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.gateway import MOST_WAITS, Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import Exchange, Request

RATE = 1000.0
LATER = "429 Too Many Requests"


def answered(retry_after: str | None, status: int = 429) -> Exchange:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Exchange("r", Request("GET", "/"), "", 0, 1, status, headers)


def test_without_a_rate_nothing_is_paced_or_postponed() -> None:
    gateway = Gateway()
    began = time.monotonic()
    for _ in range(1000):
        gateway.pace()
    assert time.monotonic() - began < 1
    assert not gateway.postpones(answered("0"), 0)
    assert gateway.note == ""


def test_requests_begin_no_faster_than_the_gateway_takes_them() -> None:
    gateway = Gateway(requests_per_s=50)
    began = time.monotonic()
    for _ in range(11):
        gateway.pace()
    assert time.monotonic() - began >= 10 / 50


@pytest.mark.parametrize(
    ("exchange", "is_postponed"),
    [
        (answered("0"), True),
        (answered(None), False),
        (answered("-1"), False),
        (answered("1e3"), False),
        (answered("61"), False),
        (answered("9" * 5000), False),
        (answered("\u0663"), False),
        (answered("soon"), False),
        (answered("0", 503), False),
        (answered("0", 200), False),
    ],
)
def test_only_a_readable_wait_is_waited_for(exchange: Exchange, is_postponed: bool) -> None:
    assert Gateway(requests_per_s=RATE).postpones(exchange, 0) is is_postponed


Wire = Callable[[Callable[[WireRequest], Any]], WireServer]


def test_what_is_postponed_is_sent_again_and_counted(wire: Wire) -> None:
    seen: list[str] = []

    def answer(request: WireRequest) -> Any:
        seen.append(request.headers["x-team"])
        return (response(b"{}", *((LATER, "text/plain", "retry-after: 0") if len(seen) < 3 else ("200 OK",))),)

    gateway = Gateway({"X-Team": "blue"}, requests_per_s=RATE)
    assert Client(wire(answer).url, gateway=gateway).send(get("/", 30)).status == 200
    assert seen == ["blue"] * 3
    assert "asked 2 time(s) to send later" in gateway.note


def test_a_gateway_that_always_postpones_refuses(wire: Wire) -> None:
    server = wire(lambda _: (response(b"{}", LATER, "text/plain", "retry-after: 0"),))
    assert Client(server.url, gateway=Gateway(requests_per_s=RATE)).send(get("/", 30)).status == 429
    assert len(server.requests) == MOST_WAITS + 1


def test_a_request_may_replace_a_header_of_the_gateway(wire: Wire) -> None:
    server = wire(lambda _: (response(b"{}"),))
    client = Client(server.url, "key", gateway=Gateway({"X-Team": "blue", "Authorization": "of the gateway"}))
    client.send(Request("GET", "/", headers={"X-Team": "red"}))
    headers = server.requests[0].headers
    assert (headers["x-team"], headers["authorization"]) == ("red", "Bearer key")


def test_certificates_of_the_environment_hold_on_loopback_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/some/ca.pem")
    assert Client("https://127.0.0.1:1").certificates == "/some/ca.pem"
    assert Client("https://127.0.0.1:1", gateway=Gateway(ca_bundle="/own.pem")).certificates == "/own.pem"
