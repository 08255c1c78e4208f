"""One request in, one exchange out: what a server sends, when, and every way in which it can fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.support.wire import RESET, Answer, WireServer, response

from vlm_acceptance.cases.picture_servers import serve_pictures
from vlm_acceptance.client import http
from vlm_acceptance.client.http import Client, is_loopback
from vlm_acceptance.core.exchange import Exchange, Request

Wire = Callable[[Answer], WireServer]
STREAM = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
DELTA_S = 0.15


def get(wire: Wire, *steps: object, deadline_s: float = 20) -> Exchange:
    server = wire(lambda request: steps)
    return Client(server.url).send(Request("GET", "/x", deadline_s=deadline_s))


def kind(exchange: Exchange) -> str | None:
    return exchange.error.kind if exchange.error else None


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_whole_response_is_kept_as_it_came(wire: Wire) -> None:
    seen = get(wire, response(b"\x00\xffbody", "418 Teapot", "text/plain", "X-Odd: a"))
    assert (seen.status, seen.body, kind(seen)) == (418, b"\x00\xffbody", None)
    assert (seen.headers["x-odd"], seen.headers["content-type"]) == ("a", "text/plain")
    assert seen.started_ns <= (seen.headers_ns or 0) <= seen.finished_ns


def test_a_body_is_sent_as_ascii_json_with_an_id(wire: Wire) -> None:
    server = wire(lambda request: [response(b"{}")])
    client = Client(server.url + "/", "sk-1")
    exchanges = [client.send(Request("POST", "/v1/x", {"text": "图\ud800"})) for _ in range(2)]
    first, second = server.requests
    assert json.loads(first.body) == {"text": "图\ud800"}
    assert first.body.isascii()
    assert first.headers["content-type"] == "application/json"
    assert first.headers["authorization"] == "Bearer sk-1"
    assert [first.headers["x-request-id"], second.headers["x-request-id"]] == [e.id for e in exchanges]
    assert len({exchange.id for exchange in exchanges}) == 2


def test_bytes_are_sent_as_they_are(wire: Wire) -> None:
    server = wire(lambda request: [response(b"{}")])
    Client(server.url).send(Request("POST", "/x", b'{"model": ', {"Content-Type": "text/odd"}))
    assert (server.requests[0].body, server.requests[0].headers["content-type"]) == (b'{"model": ', "text/odd")


def test_the_key_is_in_no_exchange(wire: Wire) -> None:
    server = wire(lambda request: [response(b"{}")])
    assert "sk-1" not in repr(Client(server.url, "sk-1").send(Request("POST", "/x", {})))


def test_a_port_without_a_listener_is_a_connect_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        seen = Client(url).send(Request("GET", "/x"))
    assert (kind(seen), seen.status, seen.body) == ("connect", None, b"")


@pytest.mark.parametrize(
    ("steps", "expected", "body"),
    [
        ((RESET,), "reset", b""),
        ((), "reset", b""),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", 0.1, RESET), "reset", b"half"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",), "protocol", b"half"),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"half"),), "protocol", b"half"),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"half")[:6],), "protocol", None),
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), "reset", b""),
    ],
    ids=["reset", "closed", "reset in the body", "short body", "no last chunk", "half a chunk", "no HTTP"],
)
def test_a_broken_answer_is_an_error_and_what_came_is_kept(
    wire: Wire, steps: tuple[object, ...], expected: str, body: bytes | None
) -> None:
    seen = get(wire, *steps)
    assert kind(seen) == expected
    assert body is None or seen.body == body


@pytest.mark.parametrize(
    "steps",
    [
        (20.0,),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", *(step for _ in range(400) for step in (b"x", 0.05))),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nx", 0.4, b"x", 20.0),
        (STREAM.encode() + b"\r\n", *(step for _ in range(400) for step in (b"data: x\n\n", 0.05))),
        (STREAM.encode() + b"\r\ndata: x\n\n", 0.4, b"data: y\n\n", 20.0),
        (
            STREAM.encode() + b"transfer-encoding: chunked\r\n\r\nfff\r\n",
            *(s for _ in range(400) for s in (b"x", 0.05)),
        ),
    ],
    ids=["silence", "dripping body", "body that stops", "dripping stream", "stream that stops", "dripping chunk"],
)
def test_a_response_that_passes_its_deadline_is_cut(wire: Wire, steps: tuple[object, ...]) -> None:
    seen = get(wire, *steps, deadline_s=0.5)
    assert kind(seen) == "timeout"
    assert 0.5 <= seen.elapsed_s < 10


def test_an_answer_may_take_longer_than_a_connection(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.3)
    seen = get(wire, 0.9, response(b"late"))
    assert (seen.body, kind(seen)) == (b"late", None)


@pytest.mark.parametrize("is_local", [True, False], ids=["here", "elsewhere"])
@pytest.mark.parametrize(
    ("deadline_s", "expected"), [(20.0, (200, None)), (0.6, (None, "timeout"))], ids=["in time", "too late"]
)
def test_a_request_may_be_taken_as_late_as_its_deadline(
    is_local: bool, deadline_s: float, expected: tuple[int | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that prepares pictures reads nothing for a while; the body does not fit into the buffers."""
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http, "is_loopback", lambda url: is_local)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            time.sleep(1.2)
            connection.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while connection.recv(1 << 20):
                    pass
            connection.sendall(response(b"{}"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    seen = Client(url).send(Request("POST", "/x", bytes(20 << 20), deadline_s=deadline_s))
    assert (seen.status, kind(seen)) == expected
    thread.join(10)
    listener.close()


def test_an_older_urllib3_cuts_a_late_read_too(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(urllib3.HTTPResponse, "shutdown")  # its base class then raises NotImplementedError
    steps = (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nx", 0.8, b"x", 20.0)
    seen = get(wire, *steps, deadline_s=1.0)
    assert kind(seen) == "timeout"
    assert 1.0 <= seen.elapsed_s < 1.7  # the socket's own time-out would end it at 1.8


def test_a_body_within_its_deadline_is_whole_however_it_drips(wire: Wire) -> None:
    seen = get(wire, b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n", *(s for _ in range(8) for s in (b"x", 0.02)))
    assert (kind(seen), seen.body) == (None, b"x" * 8)


def frames(framing: str, wrap: Callable[[bytes], bytes], end: bytes) -> list[object]:
    events = (wrap(b"data: %d\n\n" % n) for n in range(3))
    return [(STREAM + framing + "\r\n").encode(), *(s for event in events for s in (event, DELTA_S)), end]


@pytest.mark.parametrize(
    "steps",
    [
        frames("transfer-encoding: chunked\r\n", chunk, b"0\r\n\r\n"),
        frames("", bytes, b""),
        frames("content-length: 27\r\n", bytes, b""),
        frames("transfer-encoding: chunked\r\n", lambda data: chunk(data[:4]) + chunk(data[4:]), b"0\r\n\r\n"),
    ],
    ids=["chunked", "until closed", "with a length", "two chunks an event"],
)
def test_stream_events_keep_their_arrival_times(wire: Wire, steps: list[object]) -> None:
    seen = get(wire, *steps)
    assert (kind(seen), [frame.data for frame in seen.frames]) == (None, ["0", "1", "2"])
    times = [frame.at_ns for frame in seen.frames]
    assert times == sorted(set(times))
    # two pauses lie between them; a busy machine may notice the first event late
    assert (times[-1] - times[0]) / 1e9 > DELTA_S
    assert seen.body == b"".join(b"data: %d\n\n" % n for n in range(3))


def test_only_an_event_stream_is_split_into_events(wire: Wire) -> None:
    assert get(wire, response(b"data: x\n\n")).frames == ()


def test_a_redirect_is_an_answer_and_is_not_followed(wire: Wire) -> None:
    server = wire(lambda request: [response(b"", "307 Temporary", "text/plain", "Location: /y")])
    assert Client(server.url).send(Request("GET", "/x")).status == 307
    assert len(server.requests) == 1


def test_a_proxy_of_the_environment_is_not_used_for_loopback(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = wire(lambda request: [response(b"proxied")])
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert get(wire, response(b"direct")).body == b"direct"
    assert Client("http://far.invalid").send(Request("GET", "/x")).body == b"proxied"
    assert len(proxy.requests) == 1


def test_a_request_may_have_a_key_of_its_own_or_no_key(wire: Wire) -> None:
    server = wire(lambda request: [response(b"{}")])
    client = Client(server.url, "sk-1")
    for own in ("Bearer wrong", ""):
        client.send(Request("GET", "/x", headers={"Authorization": own}))
    assert [request.headers.get("authorization") for request in server.requests] == ["Bearer wrong", None]


def test_netrc_neither_gives_nor_replaces_a_key(wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    proxy = wire(lambda request: [response(b"{}")])
    monkeypatch.setenv("http_proxy", proxy.url)  # the environment is trusted for hosts that are not loopback
    Client("http://far.invalid").send(Request("GET", "/x"))
    Client("http://far.invalid", "sk-1").send(Request("GET", "/x"))
    assert [request.headers.get("authorization") for request in proxy.requests] == [None, "Bearer sk-1"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:8000", True),
        ("http://localhost:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_loopback_is_recognized_by_its_address_alone(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_pictures_are_served_within_the_block_and_not_longer(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(b"png")
    with serve_pictures(tmp_path) as url:
        seen: Any = Client(url).send(Request("GET", "/a%20b.png"))
        assert (seen.status, seen.body, seen.headers["content-type"]) == (200, b"png", "image/png")
    began = time.monotonic()
    assert kind(Client(url).send(Request("GET", "/a%20b.png"))) == "connect"
    assert time.monotonic() - began < 30
