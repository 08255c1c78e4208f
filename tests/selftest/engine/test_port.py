"""Ports on the loopback: free ones, open ones, and the processes that hold them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil
import pytest

from vlm_acceptance.engine import port

LISTENER = """
import os, socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
if "child" in sys.argv:
    waits, closed = os.pipe()
    if os.fork():
        server.close()
        os.close(closed)
    else:  # the parent must have closed the socket before the port is printed
        os.close(closed)
        os.read(waits, 1)
print(server.getsockname()[1] if server.fileno() > 0 else "", flush=True)
time.sleep(300)
"""
ME = psutil.Process()


def listening(host: str = "127.0.0.1", family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((host, 0))
    server.listen()
    return server


@contextmanager
def other_process(number: int = 0, *words: str) -> Iterator[tuple[psutil.Process, int]]:
    """Another process that listens, or whose child does."""
    argv = [sys.executable, "-c", LISTENER, str(number), *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            while not (line := process.stdout.readline().strip()):
                assert process.poll() is None
            yield psutil.Process(process.pid), int(line)
        finally:
            os.killpg(process.pid, 9)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", ""])
def test_free_port_can_be_bound_at_that_host(host):
    number = port.free_port(host)
    assert not port.is_open(number, host)
    with closing(socket.socket()) as server:
        server.bind((host, number))


def test_port_held_on_one_interface_is_not_free_for_all(monkeypatch):
    with closing(listening()) as server:
        held = server.getsockname()[1]
        with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
            other.bind(("0.0.0.0", held))
        assert all(port.free_port("0.0.0.0") != held for _ in range(20))


@pytest.mark.parametrize("host", ["::1", "::"])
def test_free_port_and_openness_by_ipv6(host):
    try:
        server = listening("::1", socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with closing(server):
        assert port.is_open(server.getsockname()[1], host)
    assert not port.is_open(port.free_port(host), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_listening_port_is_open_and_a_bound_one_is_not(host):
    with closing(listening()) as server:
        assert port.is_open(server.getsockname()[1], host)
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        assert not port.is_open(server.getsockname()[1], host)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("localhost", "http://localhost:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
    ],
)
def test_url_is_one_that_a_client_can_use(host, url):
    assert port.url_of(host, 8000) == url


def test_own_socket_is_held_by_this_process_alone():
    with closing(listening()) as server, other_process() as (other, _):
        number = server.getsockname()[1]
        assert port.holds([ME], number) is True
        assert port.holds([other], number) is False
        assert port.holders(number) == [ME]


def test_socket_of_a_child_is_held_by_the_tree():
    with other_process(0, "child") as (parent, number):
        assert port.holds([parent], number) is False
        assert port.holds([parent, *parent.children()], number) is True


def test_connection_is_not_a_listener():
    with closing(listening()) as server, closing(socket.create_connection(server.getsockname())) as client:
        assert port.holds([ME], client.getsockname()[1]) is False


def test_without_a_living_process_the_answer_is_unknown():
    with subprocess.Popen(["true"]) as child:  # not reaped before psutil has seen it
        gone = psutil.Process(child.pid)
    assert port.holds([], 1) is None
    assert port.holds([gone], 1) is None


def test_two_that_share_a_port_are_both_seen():
    with closing(listening()) as server, other_process(server.getsockname()[1]) as (other, number):
        assert set(port.holders(number, "127.0.0.1")) == {ME, other}


def test_listener_at_another_address_is_no_holder_for_this_one():
    with closing(listening("127.0.0.2")) as server:
        number = server.getsockname()[1]
        assert port.holders(number) == [ME]
        assert port.holders(number, "127.0.0.1") == []


def test_listener_at_every_address_is_a_holder_for_each():
    with closing(listening("0.0.0.0")) as server:
        assert port.holders(server.getsockname()[1], "127.0.0.1") == [ME]


def test_holder_is_named_by_pid_and_name():
    with closing(listening()) as server:
        assert port.named(port.holders(server.getsockname()[1])) == f"pid {ME.pid} ({ME.name()})"


def test_holder_that_cannot_be_seen_is_another_process():
    assert port.named(port.holders(port.free_port())) == "another process"
