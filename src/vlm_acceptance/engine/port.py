"""Free ports, open ports, and the processes that listen on them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

import psutil


def free_port(host: str = "127.0.0.1") -> int:
    """A port without a listener; the caller must start its own at once."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as held:
        held.bind((host, 0))
        return int(held.getsockname()[1])


def is_open(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether a connection is accepted there."""
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
    """Whether one of these processes listens on `port`; None when this cannot be read."""
    is_known = False
    for process in processes:
        try:
            connections = _connections(process)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return None
        is_known = True
        if any(_listens(connection, port) for connection in connections):
            return True
    return False if is_known else None


def holders(port: int, host: str = "") -> list[psutil.Process]:
    """Visible processes that listen on `port` at an address that a client of `host` can reach ('': at any)."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return []
    pids = {c.pid for c in connections if c.pid and _listens(c, port) and (not host or _answers(c, host))}
    found = []
    for pid in sorted(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def named(processes: Iterable[psutil.Process]) -> str:
    """`pid N (name)` of each, or `another process` when the list is empty."""
    words = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            words.append(f"pid {process.pid} ({process.name()})")
    return ", ".join(words) or "another process"


def _listens(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port)


def _answers(connection: Any, host: str) -> bool:
    wanted = reachable(host)
    return connection.laddr.ip in (wanted, "::" if ":" in wanted else "0.0.0.0") or wanted == "localhost"  # noqa: S104


def _connections(process: psutil.Process) -> list[Any]:
    # psutil 6 renamed it; containers have either version
    ask = getattr(process, "net_connections", None) or process.connections
    return list(ask("tcp"))
