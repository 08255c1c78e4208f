"""The official client ends at its deadline, reads no more than it may, and sends nothing elsewhere."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.wire import Answer, WireRequest, WireServer, completion, response

from vlm_acceptance.client import official
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile_sections import Sizes
from vlm_acceptance.core.exchange import MIB, NoReply, Reply

pytest.importorskip("openai")

Wire = Callable[[Answer], WireServer]
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
DEADLINE_S = 1.0
# far more than the deadline, and far less than the server would take
SOON_S = 60.0
# for what no deadline may end, on a busy machine too
AMPLE_S = 600.0


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def streams(request: WireRequest) -> bool:
    return bool(json.loads(request.body).get("stream"))


def ask(
    wire: Wire, plain: Any = None, stream: Any = None, deadline_s: float = DEADLINE_S, largest_mib: float = 1
) -> Any:
    """What the client makes of these steps, by default of a right answer."""

    def answer(request: WireRequest) -> Any:
        if streams(request):
            return stream or (STREAM, event("blue"), b"data: [DONE]\n\n")
        return plain or (response(json.dumps({**completion("blue"), "created": 1}).encode()),)

    server = wire(answer)
    return official.ask(Client(server.url, sizes=Sizes(answer_mib=largest_mib)), BODY, {"logprobs": True}, deadline_s)


def test_a_right_answer_is_read_both_ways(wire: Wire) -> None:
    seen = ask(wire, deadline_s=AMPLE_S)
    assert isinstance(seen.plain.reply, Reply)
    assert (seen.plain.reply.text, seen.streamed) == ("blue", "blue")
    assert seen.plain.request.body == {**BODY, "logprobs": True}


def drip(data: bytes) -> Iterator[object]:
    for place in range(len(data)):
        yield data[place : place + 1]
        yield 0.5


LATE: dict[str, dict[str, Callable[[], Any]]] = {
    "silence": {"plain": lambda: (300.0,)},
    "status line": {"plain": lambda: drip(JSON * 9)},
    "headers": {"plain": lambda: (JSON, *drip(b"x-a: b\r\n" * 60))},
    "continue": {"plain": lambda: drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 9)},
    "body": {"plain": lambda: (JSON + b"content-length: 999\r\n\r\n", *drip(b" " * 300))},
    "a chunk each 0.3 s": {"stream": lambda: (STREAM, *(step for _ in range(1000) for step in (event("x"), 0.3)))},
    "stream that stops": {"stream": lambda: (STREAM, event("x"), 300.0)},
    "comments": {"stream": lambda: (STREAM, *(step for _ in range(1000) for step in (b": \n\n", 0.3)))},
}


@pytest.mark.parametrize("how", LATE)
def test_it_ends_at_its_deadline(wire: Wire, how: str) -> None:
    began = time.monotonic()
    seen = ask(wire, **{name: made() for name, made in LATE[how].items()})
    assert isinstance(seen, NoReply)
    assert "timeout: not complete after 1 s" in seen.reason
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize("how", ["events", "one line", "comments"])
def test_a_flood_is_cut_and_does_not_fill_the_memory(wire: Wire, how: str) -> None:
    piece = {"events": event("blue") * 500, "one line": b"data: " + b"x" * 65536, "comments": b":\n" * 30_000}[how]
    tracemalloc.start()
    seen = ask(wire, stream=(STREAM, *(piece for _ in range(2000))), deadline_s=AMPLE_S, largest_mib=0.25)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(seen, NoReply)
    assert "the body exceeds 262144 bytes" in seen.reason
    assert most < 60 * MIB


def test_a_packed_body_is_not_unpacked(wire: Wire) -> None:
    bomb = gzip.compress(bytes(100 * MIB))
    seen = ask(
        wire, plain=(response(bomb, "200 OK", "application/json", "content-encoding: gzip"),), deadline_s=AMPLE_S
    )
    assert isinstance(seen, NoReply)
    assert "packed as 'gzip'" in seen.reason


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_nothing_is_sent_elsewhere(wire: Wire, status: str) -> None:
    other = wire(lambda request: [response(b"{}")])
    moved = (response(b"", status, "text/plain", f"location: {other.url}/v1/chat/completions"),)
    assert isinstance(ask(wire, plain=moved, deadline_s=AMPLE_S), NoReply)
    assert isinstance(ask(wire, stream=moved, deadline_s=AMPLE_S), NoReply)
    assert other.requests == []


def changed(**fields: object) -> tuple[bytes]:
    return (response(json.dumps({**completion("blue"), "created": 1, **fields}).encode()),)


ODD: dict[str, Any] = {
    "deep": (response(b'{"choices":' + b"[" * 100_000),),
    "deep and closed": (response(b'{"choices":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),),
    "a number": (response(b"1"),),
    "no choices": changed(choices=[]),
    "choices of null": changed(choices=None),
    "choices of texts": changed(choices=["a"]),
    "an error": (response(b'{"error": {"message": 1}}'),),
    "a long error": (response(b"x" * 900_000, "500 Error"),),
    "not UTF-8": (response(b'{"choices": "\xff\xfe"}'),),
}


@pytest.mark.parametrize("how", ODD)
def test_an_odd_answer_is_no_answer(wire: Wire, how: str) -> None:
    seen = ask(wire, plain=ODD[how], deadline_s=AMPLE_S)
    reply = seen if isinstance(seen, NoReply) else seen.plain.reply
    assert isinstance(reply, NoReply)
    assert 0 < len(reply.reason) < 2000


@pytest.mark.parametrize(
    "data",
    [b"[" * 50_000, b"1", b'"x"', b"{", b'{"choices": [1]}', b'{"choices": [{"delta": {"content": [1]}}]}', b"null"],
)
def test_an_odd_stream_is_no_answer(wire: Wire, data: bytes) -> None:
    seen = ask(wire, stream=(STREAM, b"data: " + data + b"\n\n", b"data: [DONE]\n\n"), deadline_s=AMPLE_S)
    assert isinstance(seen, NoReply) or seen.streamed == ""


def test_the_environment_adds_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-somebody")
    proxy = wire(lambda request: [response(b"{}")])
    monkeypatch.setenv("all_proxy", proxy.url)
    server = wire(lambda request: [response(b"{}")])
    official.ask(Client(server.url), BODY, {}, AMPLE_S)
    assert proxy.requests == []
    assert server.requests
    assert "of-somebody" not in str([request.headers for request in server.requests])


@pytest.mark.parametrize("key", ["plain-key", "cl\u00e9-\u00fc\u00a3"])
def test_a_key_that_our_own_client_sends_is_sent_by_the_official_one(key: str, wire: Wire) -> None:
    seen: list[str] = []

    def answer(request: WireRequest) -> Any:
        seen.append(request.headers["authorization"])
        if streams(request):
            return (STREAM, event("blue"), b"data: [DONE]\n\n")
        return (response(json.dumps({**completion("blue"), "created": 1}).encode()),)

    assert official.ask(Client(wire(answer).url, key), BODY, {}, AMPLE_S).streamed == "blue"
    assert seen == [f"Bearer {key}"] * 2
