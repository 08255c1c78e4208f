"""A server that sends exactly the bytes that a test gives it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RESET = object()


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request as it arrived at the wire server."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[WireRequest], Iterable[object]]


class WireServer:
    """Writes what `answer` yields for a request: bytes as they are, a float as a pause in seconds, RESET as a reset.

    The connection is closed afterwards.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[WireRequest] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._closing.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError):
            method, path, _ = reader.readline().decode("latin-1").split(" ", 2)
            lines = iter(lambda: reader.readline().decode("latin-1").strip(), "")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            request = WireRequest(method, path, headers, reader.read(int(headers.get("content-length", 0))))
            self.requests.append(request)
            for step in self.answer(request):
                if step is RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    reader.close()
                    return
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    self._closing.wait(float(str(step)))


def response(body: bytes, status: str = "200 OK", kind: str = "application/json", *headers: str) -> bytes:
    """A whole HTTP response with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def completion(text: str, model: str = "quick-standin") -> dict[str, Any]:
    """A chat completion with this text."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def endpoint(answer: Callable[[WireRequest], bytes | None]) -> Answer:
    """A ready endpoint of `quick-standin`; it answers OK to chat requests for which `answer` returns None."""

    def route(request: WireRequest) -> Iterable[object]:
        if request.path == "/health":
            return [response(b"")]
        if request.path == "/v1/models":
            return [response(json.dumps({"object": "list", "data": [{"id": "quick-standin"}]}).encode())]
        return [answer(request) or response(json.dumps(completion("OK")).encode())]

    return route
