"""An HTTP proxy that puts one named fault between a client and a real engine.

Streams pass event by event, unbuffered; when the client goes away, so does the request to the engine. By hand:
`python fault_proxy.py --upstream http://127.0.0.1:8000 --fault missing-id` prints its port and serves until ended.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by path, this folder's parent is not importable

from fault_stages import Call, Cut, Dose, Response, Stages
from faults import fault_named

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade", "proxy-connection"}
_NOT_PASSED = _HOP_BY_HOP | {"host", "accept-encoding"}


class FaultProxy:
    """The proxy in threads of this process, as a context manager; without a fault it changes nothing.

    `upstream` is the engine's root URL, `url` the proxy's; `stages` are used without a fault. ValueError when the fault
    is not in FAULTS.
    """

    def __init__(
        self,
        upstream: str,
        fault: str | None = None,
        *,
        magnitude: float | None = None,
        seed: int = 0,
        port: int = 0,
        stages: Stages | None = None,
    ) -> None:
        self._closing = threading.Event()
        self._upstream, self._port = upstream.rstrip("/"), port
        self._stages = stages or Stages()
        if fault is not None:
            known = fault_named(fault)
            strength = known.magnitude if magnitude is None else magnitude
            self._stages = known.apply(Dose(strength, seed, self._upstream, self._closing))

    @property
    def url(self) -> str:
        """The proxy's root URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> FaultProxy:
        self._server = _Server(self._port, self._upstream, self._stages)
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.02,), name="fault-proxy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """RuntimeError when the proxy itself failed and no other exception is being raised."""
        self._closing.set()
        self._server.shutdown()
        self._server.close()
        self._thread.join()
        if self._server.broken and exc[0] is None:
            raise RuntimeError(f"the proxy broke {len(self._server.broken)} times") from self._server.broken[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, upstream: str, stages: Stages) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        where = urlsplit(upstream)
        self.upstream = (where.hostname or "127.0.0.1", where.port or 80)
        self.stages = stages
        self.connections: set[socket.socket] = set()
        self.broken: list[Exception] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def number(self, route: str) -> int:
        """The number of earlier requests for this route."""
        with self._lock:
            self._counts[route] += 1
            return self._counts[route] - 1

    def close(self) -> None:
        """Stop listening and close all open connections."""
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """No log: the client records all exchanges."""

    def _pass_on(self) -> None:
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = self.server.number(self.path.partition("?")[0])
        call = Call(number, self.command, self.path, dict(self.headers.items()), body)
        stages = self.server.stages
        try:
            answer = stages.instead(call)
            if answer is None:
                self._forward(stages.request(call))
            else:
                self._send(call, answer)
        except (Cut, OSError, HTTPException):
            # the engine or the client closed the connection: a proxy can only close the other one
            self._note_leaving(stages, call)
            self._reset()
        except Exception as broken:  # noqa: BLE001  a proxy that breaks must not pass for its fault
            self.server.broken.append(broken)
            self._reset()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on  # noqa: N815

    def _forward(self, call: Call) -> None:
        stages, headers = self.server.stages, {**_end_to_end(call.headers), "Connection": "close"}
        with closing(HTTPConnection(*self.server.upstream)) as upstream:
            upstream.request(call.method, call.path, call.body or None, headers)
            if not self._client_waits_for(upstream.sock):
                raise Cut
            reply = upstream.getresponse()
            headers = _end_to_end(dict(reply.getheaders()))
            if reply.getheader("Content-Type", "").startswith("text/event-stream"):
                self._stream(call, reply, headers)
            else:
                self._send(call, stages.response(call, Response(reply.status, headers, reply.read())))

    def _client_waits_for(self, upstream: socket.socket) -> bool:
        """Wait for data from the engine; False when the client disconnects first."""
        with selectors.DefaultSelector() as selector:
            selector.register(upstream, selectors.EVENT_READ)
            selector.register(self.connection, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select()]
        return upstream in ready or not self._client_is_gone()

    def _client_is_gone(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _note_leaving(self, stages: Stages, call: Call) -> None:
        try:
            has_left = self._client_is_gone()
        except OSError:
            has_left = True
        if has_left:
            stages.left(call)

    def _send(self, call: Call, response: Response) -> None:
        body = response.body if response.reset_after is None else response.body[: response.reset_after]
        self._head(call, response.status, response.headers, "Content-Length", str(len(response.body)))
        if self.command != "HEAD":
            self.wfile.write(body)
        if response.reset_after is not None:
            raise Cut

    def _stream(self, call: Call, reply: HTTPResponse, headers: Mapping[str, str]) -> None:
        self._head(call, reply.status, headers, "Transfer-Encoding", "chunked")
        for frame in self.server.stages.frames(call, self._frames_of(reply)):
            if frame:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        self.wfile.write(b"0\r\n\r\n")

    def _frames_of(self, reply: HTTPResponse) -> Iterator[bytes]:
        held = b""
        while piece := reply.read1(65536):
            if self._client_is_gone():  # a fault that holds events back writes nothing and would not notice
                raise Cut
            held += piece
            while (end := held.find(b"\n\n")) >= 0:
                yield held[: end + 2]
                held = held[end + 2 :]
        if held:
            yield held

    def _head(self, call: Call, status: int, headers: Mapping[str, str], framing: str, value: str) -> None:
        self.send_response_only(status)
        for key, content in self.server.stages.headers(call, headers).items():
            self.send_header(key, content)
        self.send_header(framing, value)
        if self.close_connection:  # a client without this header may use the connection again and get a reset
            self.send_header("Connection", "close")
        self.end_headers()

    def _reset(self) -> None:
        """End the connection with RST instead of an orderly close."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # the socket closes only without references to it
        self.connection.close()
        self.close_connection = True


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() not in _NOT_PASSED}


def main() -> None:
    """Serve until ended, after printing the port on a line of its own."""
    parser = argparse.ArgumentParser(description="A proxy with one fault.")
    parser.add_argument("--upstream", required=True, help="root URL of the engine")
    parser.add_argument("--fault", help="a name from FAULTS; without it the proxy changes nothing")
    parser.add_argument("--magnitude", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    try:
        proxy = FaultProxy(given.upstream, given.fault, magnitude=given.magnitude, seed=given.seed, port=given.port)
    except ValueError as unknown:
        sys.exit(f"fault_proxy: {unknown}")
    with proxy:
        print(proxy.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
