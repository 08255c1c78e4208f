"""A server that sends exactly what it is told, byte for byte."""

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
class Asked:
    """One request as it arrived at the wire server."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Asked], Iterable[object]]


class WireServer:
    """Writes what `answer` yields for a request: bytes as they are, a float as a pause in seconds, RESET as a reset.

    The connection is closed afterwards.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
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
            asked = Asked(method, path, headers, reader.read(int(headers.get("content-length", 0))))
            self.asked.append(asked)
            for step in self.answer(asked):
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


def said(text: str, model: str = "quick-standin") -> dict[str, Any]:
    """A chat completion with this text."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def endpoint(answer: Callable[[Asked], bytes | None]) -> Answer:
    """A ready endpoint of `quick-standin`; chat requests it does not get an answer for are answered with OK."""

    def route(asked: Asked) -> Iterable[object]:
        if asked.path == "/health":
            return [response(b"")]
        if asked.path == "/v1/models":
            return [response(json.dumps({"object": "list", "data": [{"id": "quick-standin"}]}).encode())]
        return [answer(asked) or response(json.dumps(said("OK")).encode())]

    return route
