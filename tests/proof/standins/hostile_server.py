"""An endpoint that attacks its clients: right answers like QuickServer's, but those that its mode replaces.

Plain sockets and threads, no HTTP library: each mode writes its bytes as it likes. A mode that never ends goes on until
the client closes the connection, or the server ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from standins.quick_server import CHAT, QuickServer, Seen

# probes of readiness: a text and a picture
PROBES = 2


@dataclass
class Talk:
    """One request and the connection on which it is answered; `closing` is set when the server ends."""

    connection: socket.socket
    seen: Seen
    closing: threading.Event
    elsewhere: str = ""

    @property
    def streams(self) -> bool:
        """Whether the client asked for a stream."""
        with contextlib.suppress(ValueError, AttributeError):
            return bool(self.seen.json().get("stream"))
        return False

    def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Write pieces, each after a pause."""
        for piece in pieces:
            if pause_s and self.closing.wait(pause_s):
                return
            self.connection.sendall(piece)

    def drip(self, data: bytes, pause_s: float = 0.3) -> None:
        """Write byte by byte."""
        self.send(*(data[place : place + 1] for place in range(len(data))), pause_s=pause_s)

    def for_ever(self, piece: bytes, pause_s: float = 0.0) -> None:
        """Write a piece again and again."""
        while not self.closing.is_set():
            self.send(piece, pause_s=pause_s)

    def hang(self) -> None:
        """Keep the connection and send nothing."""
        self.closing.wait(3600)

    def reset(self) -> None:
        """Have the connection end with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def json(self, body: bytes, status: str = "200 OK") -> None:
        """A whole answer; a stream gets it as one event."""
        if self.streams:
            body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        self.whole(body, "text/event-stream" if self.streams else "application/json", status)

    def whole(self, body: bytes, kind: str = "application/json", status: str = "200 OK", *headers: str) -> None:
        """A whole answer with its length."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)


@dataclass(frozen=True, slots=True)
class Mode:
    """What replaces the answers to `route` ('' for all) once `after` chat requests were answered rightly."""

    attack: Callable[[Talk], object]
    route: str = ""
    after: int = 0

    def replaces(self, path: str, chats: int) -> bool:
        """Whether the answer to this request is replaced; `chats` came before it."""
        return path.startswith(self.route) and chats >= self.after


@dataclass
class HostileServer:
    """The endpoint in threads of this process, as a context manager; `elsewhere` is what arrived at its other port."""

    mode: Mode
    honest: QuickServer
    asked: int = 0
    elsewhere: list[bytes] = field(default_factory=list)

    def __enter__(self) -> HostileServer:
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._other = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=[self._listener, self._serve], daemon=True).start()
        threading.Thread(target=self._accept, args=[self._other, self._note], daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        for listener in (self._listener, self._other):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    @property
    def url(self) -> str:
        """The root, without `/v1`."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self, listener: socket.socket, talk: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._with, args=[talk, connection], daemon=True).start()

    def _with(self, talk: Callable[[socket.socket], None], connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            talk(connection)

    def _note(self, connection: socket.socket) -> None:
        self.elsewhere.append(connection.recv(1 << 16))

    def _serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        with connection.makefile("rb") as reader:
            for seen in requests(reader):
                route = seen.path.partition("?")[0]
                if self.mode.replaces(route, self.honest.chats):
                    self.asked += 1
                    other = f"http://127.0.0.1:{self._other.getsockname()[1]}"
                    self.mode.attack(Talk(connection, seen, self._closing, other))
                    return
                status, kind, pieces = self.honest.answer(seen) or (500, "text/plain", [])
                Talk(connection, seen, self._closing).whole(b"".join(pieces), kind, f"{status} Status")


def requests(reader: object) -> Iterator[Seen]:
    """The requests of a connection, until it ends."""
    while line := reader.readline().decode("latin-1"):  # type: ignore[attr-defined]
        method, path, _ = line.split(" ", 2)
        lines = iter(lambda: reader.readline().decode("latin-1").strip(), "")  # type: ignore[attr-defined]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        yield Seen(method, path, reader.read(int(headers.get("content-length", 0))), headers)  # type: ignore[attr-defined]


def completion(message: object, usage: object = None, **choice: object) -> bytes:
    """A chat completion with these parts, whatever they are."""
    one = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None, **choice}
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} if usage is None else usage
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "vlm-acceptance/control"}
    return json.dumps({**head, "choices": [one], "usage": counts}).encode()


def said(text: object, usage: object = None, **choice: object) -> bytes:
    """A chat completion with this text."""
    return completion({"role": "assistant", "content": text}, usage, **choice)


def event(text: str) -> bytes:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "vlm-acceptance/control"}
    return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"


Modes = Mapping[str, Mode]
__all__ = ["CHAT", "PROBES", "HostileServer", "Mode", "Modes", "Talk", "completion", "event", "said"]
