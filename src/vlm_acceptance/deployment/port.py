"""Who holds a port, and which one we take."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

import psutil


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now; the caller starts its listener at once."""
    with socket.socket(_family(host)) as held:
        held.bind((host, 0))
        return int(held.getsockname()[1])


def is_open(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((reachable(host), port), timeout_s):
        return True
    return False


def reachable(host: str) -> str:
    """The address a client uses for a server bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def url_of(host: str, port: int) -> str:
    """The base URL of a server bound to `host`."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def holds(processes: Iterable[psutil.Process], port: int) -> bool | None:
    """Whether one of these processes listens on `port`; None where the system does not tell."""
    told = False
    for process in processes:
        try:
            connections = _connections(process)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return None
        told = True
        if any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections):
            return True
    return False if told else None


def holder(port: int) -> str:
    """`pid N (name)` of whoever listens on `port`, or `another process`."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.laddr and connection.laddr.port == port
            if connection.status == psutil.CONN_LISTEN and here and connection.pid:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another process"


def _connections(process: psutil.Process) -> list[Any]:
    # renamed in psutil 6; containers hold either
    ask = getattr(process, "net_connections", None) or process.connections
    return list(ask("tcp"))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
