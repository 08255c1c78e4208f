"""Connections that can be cut at any moment, and that pass over a few interim responses (1xx)."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import socket
import time
from typing import Any

from vlm_acceptance.core.waiting import NS

MOST_INTERIM = 8
SWITCHING = 101


class InterimFlood(http.client.HTTPException):
    """More interim responses came before the answer than a server has reason to send."""

    def __init__(self) -> None:
        super().__init__(f"more than {MOST_INTERIM} interim responses (1xx) before the answer")


class Wire:
    """The connection of one request from its first byte to its last; `cut` ends it from another thread.

    It keeps a handle of its own to the socket, which stays valid while TLS or a proxy wrap the connection.
    """

    def __init__(self, deadline_ns: int) -> None:
        self._deadline_ns = deadline_ns
        self._handle: socket.socket | None = None

    def take(self, connected: socket.socket) -> None:
        """Note a socket that was just connected: from now on it may wait until the deadline, also while it sends."""
        self.close()
        self._handle = socket.socket(fileno=os.dup(connected.fileno()))
        connected.settimeout(max(0.001, (self._deadline_ns - time.monotonic_ns()) / NS))

    def cut(self) -> None:
        """End whatever the connection waits for: a handshake, a proxy, the sending, the answer."""
        if (handle := self._handle) is not None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give up the handle; the connection itself is closed by who opened it."""
        if self._handle is not None:
            self._handle.close()


def watch(pool: Any, wire: Wire) -> None:
    """Make every connection of a urllib3 pool known to `wire`, and pass over interim responses."""
    pool.ConnectionCls = functools.partial(_watched(pool.ConnectionCls), wire)


class _Response(http.client.HTTPResponse):
    """A response without the interim ones before it; http.client passes over 100 alone, and over any number."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MOST_INTERIM + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= line[1] < 200 or line[1] == SWITCHING:
                return line
            http.client.parse_headers(self.fp)
        raise InterimFlood


@functools.lru_cache(maxsize=8)
def _watched(base: Any) -> Any:
    """A class of connections of urllib3 that makes its socket known."""

    class Watched(base):  # type: ignore[misc]
        response_class = _Response

        def __init__(self, wire: Wire, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._wire = wire

        def _new_conn(self) -> Any:
            connected = super()._new_conn()
            self._wire.take(connected)
            return connected

    return Watched
