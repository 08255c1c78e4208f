"""The client for a thousand requests: plain HTTP on this machine, without `requests` between, at a third of its CPU."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from vlm_acceptance.client.http import CONNECT_TIMEOUT_S, Client, Observed, is_loopback
from vlm_acceptance.core.exchange import Request

_PIECE = 1 << 16
# Each call that may wait hands the interpreter to another thread, which costs more than most of these calls.
_GRACE_S = 0.05


def direct(client: Client) -> Client:
    """A client of the same endpoint that costs less per request; the client itself where proxies or TLS may be."""
    if urlsplit(client.base_url).scheme != "http" or not is_loopback(client.base_url):
        return client
    return DirectClient(client.base_url, client.api_key)


class DirectClient(Client):
    """Sees and says what Client does, over sockets of its own; for plain HTTP that needs no proxy."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        super().__init__(base_url, api_key)
        place = urlsplit(self.base_url)
        self._place = (place.hostname or "", place.port or 80)
        self._prefix = place.path
        self._fixed = {"Host": place.netloc.rpartition("@")[2], "User-Agent": "vlm-acceptance", "Accept": "*/*"}
        if api_key:
            self._fixed["Authorization"] = f"Bearer {api_key}"

    def _exchange(
        self, request: Request, data: bytes | memoryview | None, headers: dict[str, str], seen: Observed
    ) -> None:
        fields = {**self._fixed, **headers}
        if fields.get("Authorization") == "":
            del fields["Authorization"]
        if data is not None or request.method != "GET":
            fields["Content-Length"] = str(len(data or b""))
        with contextlib.closing(_connected(self._place, min(CONNECT_TIMEOUT_S, request.deadline_s))) as link:
            link.settimeout(request.deadline_s)
            # a server may answer and close before it has read everything: its answer is what counts
            with contextlib.suppress(BrokenPipeError):
                _send(link, _head(request.method, self._prefix + request.path, fields), data or b"")
            with contextlib.closing(http.client.HTTPResponse(link, method=request.method)) as response:
                _begin(response)
                seen.begin(response.status, response.getheaders())
                if response.chunked:
                    with seen.cut_at_deadline(lambda: _shut(link)):
                        seen.read(_pieces(response))
                else:
                    seen.read(_bounded(response, link, seen))


def _connected(place: tuple[str, int], timeout_s: float) -> socket.socket:
    try:
        return socket.create_connection(place, timeout_s)
    except TimeoutError:
        raise
    except OSError as refused:  # out of ports or of routes: no other kind of trouble than a refusal
        raise ConnectionError(str(refused)) from refused


def _head(method: str, path: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    if any(not line.isprintable() for line in lines):
        raise ValueError(f"a line break or control character in the head of a request: {method} {path!r}")
    return "\r\n".join(lines).encode("latin-1")


def _send(link: socket.socket, head: bytes, data: bytes | memoryview) -> None:
    sent = link.sendmsg([head, data])
    if sent < len(head):
        link.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(data):
        link.sendall(memoryview(data)[sent - len(head) :])


def _begin(response: http.client.HTTPResponse) -> None:
    try:
        response.begin()
    except http.client.RemoteDisconnected:
        raise
    except http.client.BadStatusLine as odd:
        raise ConnectionAbortedError(f"Connection aborted (BadStatusLine: {odd})") from odd


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(_PIECE):
        yield piece


def _bounded(response: http.client.HTTPResponse, link: socket.socket, seen: Observed) -> Iterator[bytes]:
    """The body where one read is one wait, so that the socket's timeout can hold the deadline."""
    bound_s = seen.deadline_s
    while True:
        if bound_s - seen.left_s > _GRACE_S:
            bound_s = max(seen.left_s, 0.001)
            link.settimeout(bound_s)
        piece = response.read1(_PIECE)
        if not piece:
            return
        yield piece


def _shut(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
