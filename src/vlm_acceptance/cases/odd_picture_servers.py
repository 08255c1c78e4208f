"""A loopback server of pictures that are not there, are somewhere else, or never end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# slow enough that a reader without any limit does not fill this machine's memory while it is watched
PIECE, PAUSE_S = bytes(1 << 16), 0.05


@dataclass
class OddPictures:
    """The server: its root URL, and the paths it was asked for so far."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    picture: bytes
    state: OddPictures

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `asked` tells what was fetched."""

    def do_GET(self) -> None:
        self.state.asked.append(self.path)
        # a reader that goes away is what endless pictures are for
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
def serve_odd_pictures(picture: Path) -> Iterator[OddPictures]:
    """Serve `/picture`, `/redirected`, `/circle`, `/endless`, and 404 for the rest, while the context is open."""
    state = OddPictures()
    handler = type("_Bound", (_Handler,), {"picture": picture.read_bytes(), "state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="odd-pictures", daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
