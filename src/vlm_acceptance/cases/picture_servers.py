"""Loopback servers that a launched engine fetches pictures from: of a folder, or of pictures that misbehave."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# slow enough that an engine without a limit does not fill this machine's memory while it is watched
PIECE, PAUSE_S = bytes(1 << 16), 0.05
# an engine that stops in the middle of a request must not keep a thread of ours
IDLE_S = 30.0
# of the paths that an engine asks for; each edge picture is asked for a few times
MOST_ASKED = 10_000


@contextlib.contextmanager
def _serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free loopback port while the context is open; yields the root URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="pictures", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _FolderHandler(SimpleHTTPRequestHandler):
    timeout = IDLE_S

    def log_message(self, format: str, *args: Any) -> None:
        """No log: the engine's own log names what it fetched."""


def serve_pictures(folder: Path) -> AbstractContextManager[str]:
    """Serve the files of `folder` while the context is open; yields the root URL."""
    return _serving(functools.partial(_FolderHandler, directory=str(folder)))


@dataclass
class EdgePictures:
    """A server of edge pictures: its root URL, and the paths requested so far."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class _EdgeHandler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    picture: bytes
    state: EdgePictures

    def log_message(self, format: str, *args: Any) -> None:
        """No log: `asked` has the paths."""

    def do_GET(self) -> None:
        if len(self.state.asked) < MOST_ASKED:
            self.state.asked.append(self.path)
        # an engine is expected to stop reading an endless picture
        with contextlib.suppress(OSError):
            self._answer(self.path.strip("/"))

    def _answer(self, name: str) -> None:
        if name in ("redirected", "circle"):
            self._head(302, Location="/picture" if name == "redirected" else "/circle", Content_Length="0")
        elif name == "endless":
            self._head(200, Content_Type="image/png")
            self.wfile.write(self.picture[:100])
            while not self.state.closing.wait(PAUSE_S):
                self.wfile.write(PIECE)
        elif name == "picture":
            self._head(200, Content_Type="image/png", Content_Length=str(len(self.picture)))
            self.wfile.write(self.picture)
        else:
            self._head(404, Content_Length="0")

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


@contextlib.contextmanager
def serve_edge_pictures(picture: Path) -> Iterator[EdgePictures]:
    """Serve `/picture`, `/redirected`, `/circle`, `/endless`, and 404 for the rest, while the context is open."""
    state = EdgePictures()
    with _serving(type("_Bound", (_EdgeHandler,), {"picture": picture.read_bytes(), "state": state})) as state.url:
        try:
            yield state
        finally:
            state.closing.set()
