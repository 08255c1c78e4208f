"""A deadline is a wall clock over every stage of a request, and an answer has a largest size."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.client import http
from vlm_acceptance.client.connection import MOST_INTERIM
from vlm_acceptance.client.http import KEPT_BYTES, KEPT_EVENTS, MOST_EVENTS, Client
from vlm_acceptance.config.profile_sections import Sizes
from vlm_acceptance.core.exchange import CHAT, MIB, Exchange, Request

Wire = Callable[[Answer], WireServer]
OK = b"HTTP/1.1 200 OK\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STREAM = OK + b"content-type: text/event-stream\r\n\r\n"
DEADLINE_S = 0.6
# far more than the deadline, and far less than the server would take
SOON_S = 30.0


def dripping(data: bytes, pause_s: float = 0.3) -> Iterator[object]:
    for place in range(len(data)):
        yield data[place : place + 1]
        yield pause_s


def get(wire: Wire, *steps: object, path: str = "/x", sizes: Sizes | None = None, deadline_s: float = 300) -> Exchange:
    server = wire(lambda request: steps)
    return Client(server.url, sizes=sizes).send(Request("GET", path, deadline_s=deadline_s))


def kind(exchange: Exchange) -> str | None:
    return exchange.error.kind if exchange.error else None


def is_cut(exchange: Exchange) -> bool:
    return kind(exchange) == "timeout" and DEADLINE_S <= exchange.elapsed_s < SOON_S


@pytest.mark.parametrize(
    "steps",
    [
        dripping(OK * 20),
        (OK, *dripping(b"x-a: b\r\n" * 90)),
        dripping(CONTINUE * 8),
        dripping(EARLY * 8),
        (OK + b"transfer-encoding: chunked\r\n\r\n", *dripping(b"0000000000000000000000000000000001\r\n" * 9)),
        (OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", *dripping(b"trailer: x\r\n" * 20)),
    ],
    ids=["status line", "headers", "continue", "early hints", "chunk size", "trailers"],
)
def test_an_answer_whose_bytes_drip_ends_at_its_deadline(wire: Wire, steps: tuple[object, ...]) -> None:
    assert is_cut(get(wire, *steps, deadline_s=DEADLINE_S))


@pytest.mark.parametrize("interim", [CONTINUE, EARLY], ids=["continue", "early hints"])
def test_a_few_interim_responses_are_passed_over(wire: Wire, interim: bytes) -> None:
    seen = get(wire, interim * MOST_INTERIM, response(b"answer"))
    assert (seen.status, seen.body, kind(seen)) == (200, b"answer", None)


@pytest.mark.parametrize("interim", [CONTINUE, EARLY, CONTINUE + EARLY], ids=["continue", "early hints", "both"])
def test_more_interim_responses_are_a_broken_answer(wire: Wire, interim: bytes) -> None:
    seen = get(wire, interim * (MOST_INTERIM + 1), response(b"answer"))
    assert (seen.status, kind(seen)) == (None, "protocol")
    assert "interim responses" in str(seen.error)


def test_a_switch_of_protocols_that_nobody_asked_for_is_the_answer(wire: Wire) -> None:
    assert get(wire, b"HTTP/1.1 101 Switching Protocols\r\n\r\n").status == 101


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port at which `talk` has each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def silent(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def drips_hello(connection: socket.socket) -> None:
    connection.settimeout(0.3)
    # the start of a handshake record of 16 kB, then byte by byte
    for one in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(300):
        connection.sendall(bytes([one]))
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1 << 16):
                return


def drips_tunnel(connection: socket.socket) -> None:
    connection.settimeout(0.3)
    for one in b"HTTP/1.1 200 Connection established\r\n" + b"x: y\r\n" * 50:
        connection.sendall(bytes([one]))
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1 << 16):
                return


@pytest.mark.parametrize("talk", [silent, drips_hello])
def test_a_handshake_ends_at_the_deadline(talk: Callable[[socket.socket], object]) -> None:
    with raw_server(talk) as port:
        assert is_cut(Client(f"https://127.0.0.1:{port}").send(Request("GET", "/x", deadline_s=DEADLINE_S)))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("talk", [silent, drips_tunnel])
def test_a_slow_proxy_ends_at_the_deadline(
    scheme: str, talk: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with raw_server(talk) as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        assert is_cut(Client(f"{scheme}://far.invalid").send(Request("GET", "/x", deadline_s=DEADLINE_S)))


def test_an_answer_beyond_its_size_is_cut_and_says_so(wire: Wire) -> None:
    seen = get(wire, response(b"x" * MIB), sizes=Sizes(answer_mib=0.5))
    assert (kind(seen), seen.body) == ("protocol", b"x" * KEPT_BYTES)
    assert f"cut: {KEPT_BYTES} of" in str(seen.error)
    assert get(wire, response(b"x" * (MIB // 2)), sizes=Sizes(answer_mib=0.5)).error is None


@pytest.mark.parametrize(
    ("body", "largest"),
    [
        ({"max_tokens": 64}, 512 << 10),
        ({"max_tokens": 64, "n": 2}, 768 << 10),
        ({"max_tokens": 64, "top_logprobs": 4}, 768 << 10),
        ({"max_tokens": 1, "top_logprobs": 20, "prompt_logprobs": 20}, 16 * MIB),
        ({"max_tokens": 100_000}, 4 * MIB),
        ({"max_tokens": "many"}, 4 * MIB),
        ({"max_tokens": 64, "n": None}, 4 * MIB),
        ({"max_tokens": -1}, 4 * MIB),
        ({}, 4 * MIB),
        (b"{}", 4 * MIB),
        ([1], 4 * MIB),
    ],
)
def test_an_answer_of_a_few_tokens_has_fewer_bytes(body: object, largest: int) -> None:
    assert Sizes().largest(Request("POST", CHAT, body)) == largest


def test_metrics_have_a_size_of_their_own(wire: Wire) -> None:
    sizes = Sizes(answer_mib=0.5, metrics_mib=2)
    assert get(wire, response(b"x" * MIB), path="/metrics", sizes=sizes).error is None
    assert kind(get(wire, response(b"x" * 3 * MIB), path="/metrics", sizes=sizes)) == "protocol"


def test_a_stream_of_too_many_events_is_cut(wire: Wire) -> None:
    seen = get(wire, STREAM, b"data: x\n\n" * (MOST_EVENTS + 1000))
    assert (kind(seen), len(seen.frames)) == ("protocol", KEPT_EVENTS)
    assert f"exceeds {MOST_EVENTS} events" in str(seen.error)


def test_a_promised_length_may_be_any_text(wire: Wire) -> None:
    for length in (b"9" * 5000, b"-1", b"0x2", "²".encode()):
        assert get(wire, OK + b"content-length: " + length + b"\r\n\r\nok").status in (200, None)


def test_the_time_to_connect_is_a_part_of_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that drops what is sent to it is given up at the deadline, or after CONNECT_TIMEOUT_S."""
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 4 * SOON_S)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as others:
        for _ in range(3):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        seen = Client(url).send(Request("GET", "/x", deadline_s=DEADLINE_S))
    assert seen.error is not None
    assert seen.elapsed_s < SOON_S
