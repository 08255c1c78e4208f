"""A chat endpoint that costs almost nothing: it answers every request with `A` at once, without a model.

`python zero_server.py [--slots N --ms T]` prints its port and serves until its standard input ends. With slots, N
requests at a time take T milliseconds each and the others wait for a free slot: an engine of known speed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import threading
from collections import deque
from typing import Any

MODEL = "zero"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_BUFFER = 1 << 20


def response(value: Any) -> bytes:
    """A whole HTTP response with a place for a Connection header before the blank line."""
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%%b\r\n%b" % (len(body), body)


COMPLETION = response(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1800, "completion_tokens": 1, "total_tokens": 1801},
    }
)
OTHERS = {
    b"/tokenize": response({"count": 100, "max_model_len": 32768, "tokens": []}),
    b"/v1/models": response({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 32768}]}),
    b"/health": response({}),
    b"/version": response({"version": "0.0.0"}),
}


class Slots:
    """Holds requests for `hold_s` seconds, `count` at a time, in the order they came; with count 0 it holds none."""

    def __init__(self, count: int, hold_s: float) -> None:
        self.count, self.hold_s = count, hold_s
        self.waiting: deque[Any] = deque()
        self.busy = 0

    def answer(self, send: Any) -> None:
        """Call `send` when the time of the request is over."""
        if not self.count:
            send()
        elif self.busy < self.count:
            self._begin(send)
        else:
            self.waiting.append(send)

    def _begin(self, send: Any) -> None:
        self.busy += 1
        asyncio.get_running_loop().call_later(self.hold_s, self._end, send)

    def _end(self, send: Any) -> None:
        self.busy -= 1
        if self.waiting:
            self._begin(self.waiting.popleft())
        send()


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1, kept alive or closed as the client requests; a body is read into one buffer and only counted."""

    buffer = memoryview(bytearray(_BUFFER))  # shared by all connections: only the head is kept between two reads

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.head = b""
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        if self.left:
            self.left -= size
        else:
            self.head += self.buffer[:size]
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self.head, 0, end + 2)
            self.left = (int(length[1]) if length else 0) - (len(self.head) - end - 4)
            self.head = self.head[:end]
        if self.left <= 0:
            head, self.head, self.left = self.head, b"", 0
            self.serve(head)

    def serve(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1]
        closes = _CLOSE.search(head) is not None

        def send() -> None:
            whole = OTHERS.get(path, COMPLETION) % (b"connection: close\r\n" if closes else b"")
            self.transport.write(whole)  # type: ignore[attr-defined]
            if closes:
                self.transport.close()

        if path in OTHERS:
            send()
        else:
            self.slots.answer(send)


async def serve(slots: Slots) -> None:
    """Serve on a free loopback port until standard input ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    server = await loop.create_server(lambda: Connection(slots), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


def main() -> None:
    """Serve until standard input ends, after printing the port."""
    parser = argparse.ArgumentParser(description="A chat endpoint that costs almost nothing.")
    parser.add_argument("--slots", type=int, default=0)
    parser.add_argument("--ms", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(serve(Slots(given.slots, given.ms / 1000)))


if __name__ == "__main__":
    main()
