"""Launching and attaching, with scripted engines: every failure to get ready is named, and nothing is left."""

from __future__ import annotations

import http.server
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer

from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EnvironmentProblem, PortTaken
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine import port, server
from vlm_acceptance.engine.process import SupervisedProcess, run_tag, tagged_processes
from vlm_acceptance.engine.readiness import ATTACHED, LAUNCHED, Stage
from vlm_acceptance.engine.server import Deployment, attach, launch

SCRIPTED = (sys.executable, str(Path(__file__).resolve().parents[2] / "proof" / "standins" / "scripted_engine.py"))
MODEL = "the-model"
SHARES_ITS_PORT = """
import socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("up", flush=True)
time.sleep(300)
"""


def profile_of(model: str = MODEL, deadlines: dict[str, float] | None = None, **engine: object) -> Profile:
    fast = {"port": 0, "start_timeout_s": 30, "stop_timeout_s": 10}
    limits = {"health_s": 5, "request_s": 5, "cold_s": 5}
    return Profile.model_validate(
        {
            "name": "scripted",
            "model": {"id": model},
            "engine": {**fast, **engine},
            "deadlines": {**limits, **(deadlines or {})},
        }
    )


class Launcher:
    """Launches scripted engines with its own run tag and ends them after the test."""

    def __init__(self, tmp_path: Path) -> None:
        self.log = tmp_path / "server.log"
        self.tag = f"{run_tag()}-{tmp_path.name}"
        self.shown: list[str] = []
        self.made: list[Deployment] = []

    def __call__(
        self,
        behaviour: str = "ready",
        profile: Profile | None = None,
        command: tuple[str, ...] = SCRIPTED,
        progress: Callable[[str], None] | None = None,
        **env: str,
    ) -> Deployment:
        self.made.append(
            launch(
                profile or profile_of(),
                command,
                Path("/models/x"),
                {**os.environ, "VLM_STANDIN": behaviour, **env},
                self.log,
                self.tag,
                api_key=None,
                progress=progress or self.shown.append,
            )
        )
        return self.made[-1]

    def left(self) -> list[psutil.Process]:
        return tagged_processes(self.tag)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    for deployment in launcher.made:
        deployment.stop()
    assert launcher.left() == []


def script(path: Path, text: str) -> tuple[str, ...]:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return (str(path),)


def test_ready_engine_reaches_every_stage_and_is_released(launched):
    deployment = launched()
    assert deployment.ready, deployment.stages[-1].detail
    assert tuple(stage.name for stage in deployment.stages) == LAUNCHED
    assert deployment.model_id == MODEL
    assert deployment.port == port_of(deployment.base_url)
    assert "is ours" in deployment.stages[1].detail
    ending = deployment.stop()
    assert (ending.code, ending.on_request, ending.killed) == (0, True, ())
    assert deployment.stop() is ending
    assert not port.is_open(deployment.port)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_figures_of_the_log_can_be_read(launched):
    figures = engine_log.figures(launched().log_text().splitlines())
    assert figures.weights_load_s == 2.03
    assert figures.kv_cache_tokens == 233344


def test_engine_at_every_address_is_asked_at_the_loopback(launched):
    deployment = launched(profile=profile_of(host="0.0.0.0"))
    assert deployment.ready, deployment.stages[-1].detail
    assert deployment.base_url.startswith("http://127.0.0.1:")


def test_given_port_is_taken(launched):
    number = port.free_port()
    assert launched(profile=profile_of(port=number)).port == number


def test_held_port_is_refused_before_anything_starts():
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        number = held.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {number} is held by pid {os.getpid()}"):
            server.require_free_port(profile_of(port=number, host="127.0.0.1"))
    server.require_free_port(profile_of(port=number))
    server.require_free_port(profile_of(port=0))


def test_alias_of_the_model_is_asked_by_that_name(launched):
    profile = profile_of()
    model = profile.model.model_copy(update={"id": "other-name", "aliases": ["somebody-elses-model"]})
    deployment = launched("wrong-model-id", profile=profile.model_copy(update={"model": model}))
    assert deployment.model_id == "somebody-elses-model"


@pytest.mark.parametrize(
    ("behaviour", "stage", "says"),
    [
        ("dies-loading", "port", "the engine ended (exit code 1)"),
        ("exits-zero", "port", "the engine ended (exit code 0)"),
        ("hangs-loading", "port", "not reached within 1 s; last seen: nothing listens"),
        ("listens-nothing", "port", "not reached within 1 s; last seen: nothing listens"),
        ("health-too-early", "text", "HTTP 503"),
        ("wrong-model-id", "model", "lists ['somebody-elses-model'], not 'the-model'"),
        ("hangs-in-request", "text", "timeout: "),
        ("dies-in-request", "text", "the engine ended (exit code 1)"),
    ],
)
def test_stage_that_breaks_is_named(launched, behaviour, stage, says):
    waits = behaviour in ("hangs-loading", "listens-nothing")
    profile = profile_of(deadlines={"cold_s": 0.5}, start_timeout_s=1 if waits else 30)
    deployment = launched(behaviour, profile=profile, VLM_STANDIN_DELAY="0.1", VLM_STANDIN_AFTER="0")
    assert not deployment.ready
    assert deployment.broken.name == stage
    assert says in deployment.broken.detail
    assert [step.ok for step in deployment.stages] == [True] * LAUNCHED.index(stage) + [False]
    if waits:
        last = engine_log.message_of(deployment.process.last_line())
        assert any(line.startswith("waits for port; ") and last in line for line in launched.shown if last)


def test_picture_stage_is_named_when_text_alone_is_answered(launched):
    deployment = launched("dies-in-request", VLM_STANDIN_AFTER="1")
    assert deployment.broken.name == "picture"


def test_death_is_reported_at_once_with_its_error_lines(launched):
    deployment = launched("dies-loading", VLM_STANDIN_DELAY="1")
    assert time.time() - launched.log.stat().st_mtime < 2  # its last line
    assert "KeyError: 'language_model.model.layers.24.attention.wqkv.weight'" in deployment.broken.detail


def test_signal_that_ends_the_engine_is_reported(launched, tmp_path):
    deployment = launched(command=script(tmp_path / "vllm", "kill -9 $$"))
    assert "the engine ended (signal 9)" in deployment.broken.detail


def test_death_caused_by_the_machine_is_an_environment_problem(launched, tmp_path):
    dies = "echo 'ImportError: libascend_hal.so: cannot open shared object file: No such file' >&2; exit 1"
    with pytest.raises(EnvironmentProblem, match="mount /usr/local/Ascend/driver") as raised:
        launched(command=script(tmp_path / "vllm", dies))
    assert str(launched.log) in str(raised.value)


def test_program_that_cannot_be_executed_is_an_environment_problem(launched, tmp_path):
    with pytest.raises(EnvironmentProblem, match="no-such-vllm cannot be started"):
        launched(command=(str(tmp_path / "no-such-vllm"),))


@pytest.mark.parametrize("behaviour", ["hangs-loading", "leaves-children"])
def test_interrupt_during_the_launch_leaves_nothing(launched, behaviour):
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launched(behaviour, progress=interrupt)
    assert launched.left() == []


def test_engine_that_ignores_sigterm_is_killed_at_the_release(launched):
    deployment = launched("ignores-sigterm", profile=profile_of(stop_timeout_s=0.3))
    ending = deployment.stop()
    assert not ending.on_request
    assert "scripted_engine.py serve" in ending.killed[0]
    assert not port.is_open(deployment.port)


def test_flood_in_the_log_delays_nothing(launched):
    deployment = launched("floods-log")
    assert deployment.ready, deployment.stages[-1].detail


def test_port_held_by_no_model_server_is_refused(launched):
    with closing(listener()) as held, pytest.raises(PortTaken, match=rf"is held by pid {os.getpid()} .* no model"):
        launched(profile=profile_of(deadlines={"health_s": 0.3}, port=held.getsockname()[1]))


def test_port_held_by_a_model_server_is_refused_with_the_attach_command(launched):
    with QuickServer(Behaviour(model="other")) as held:
        with pytest.raises(PortTaken, match=f"a server of 'other'; .*: vlm-acceptance smoke --vlm-base-url {held.url}"):
            launched(profile=profile_of(port=held.port))
        assert launched.left() == []


def listener(number: int = 0, share: bool = False) -> socket.socket:
    server_socket = socket.socket()
    if share:
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server_socket.bind(("127.0.0.1", number))
    server_socket.listen()
    return server_socket


def test_port_taken_while_the_engine_starts_is_refused_with_its_holder(launched):
    number = port.free_port()
    held: list[socket.socket] = []

    def grab(_: str) -> None:
        if not held:
            held.append(listener(number))

    with pytest.raises(PortTaken, match=rf"port {number} was taken by pid {os.getpid()} .* while our engine started"):
        launched("hangs-loading", profile=profile_of(port=number), progress=grab)
    held[0].close()


def test_port_of_choice_that_is_taken_meanwhile_is_replaced_by_another(launched, monkeypatch):
    with closing(listener()) as taken:
        numbers = [taken.getsockname()[1], port.free_port()]
        first, second = numbers
        monkeypatch.setattr(server.port, "free_port", lambda _host: numbers.pop(0))
        deployment = launched(profile=profile_of(deadlines={"health_s": 0.3}))
    assert deployment.ready, deployment.stages[-1].detail
    assert deployment.port == second
    assert any(f"port {first} was taken" in line for line in launched.shown)


@pytest.mark.parametrize("moment", ["while it starts", "in its log"])
def test_port_of_choice_that_is_taken_while_the_engine_starts_is_replaced_too(launched, monkeypatch, moment):
    numbers = [port.free_port() for _ in range(3)]
    monkeypatch.setattr(server.port, "free_port", lambda _host: numbers.pop(0))
    first, tried = numbers[0], []
    real = server._require_fault_of_deployment

    def ended_by_its_port(deployment: Deployment) -> None:
        tried.append(deployment.port)
        if len(tried) == 1:
            deployment.stop()
            kind = PortTaken if moment == "while it starts" else EnvironmentProblem
            raise kind(f"OSError: [Errno 98] Address already in use: port {deployment.port}")
        real(deployment)

    monkeypatch.setattr(server, "_require_fault_of_deployment", ended_by_its_port)
    deployment = launched()
    assert deployment.ready, deployment.stages[-1].detail
    assert tried == [first, deployment.port]
    # the log of the engine that is judged holds nothing of the other one
    assert deployment.log_text().count("API server version") == 1
    assert (launched.log.parent / f"server-port-{first}.log").is_file()


def test_port_of_choice_that_is_always_taken_is_an_environment_problem(launched, monkeypatch):
    with closing(listener()) as held:
        number = held.getsockname()[1]
        monkeypatch.setattr(server.port, "free_port", lambda _host: number)
        with pytest.raises(PortTaken, match=f"port {number} is held"):
            launched(profile=profile_of(deadlines={"health_s": 0.3}))
    assert len(launched.shown) == server.PORTS_TRIED - 1


def owned(tmp_path: Path, *argv: str, number: int) -> Deployment:
    """A deployment whose process runs, before any stage."""
    process = SupervisedProcess(argv, os.environ, tmp_path / "server.log", run_tag())
    process.start()
    url = port.url_of("127.0.0.1", number)
    return Deployment(profile_of(port=number), url, Client(url, None), process, port=number)


def test_engine_that_died_of_a_taken_port_is_refused_with_its_holder(tmp_path):
    with closing(listener()) as held:
        deployment = owned(tmp_path, "false", number=held.getsockname()[1])
        deployment.process.wait(10)
        deployment.stages.append(Stage("port", False, 0.0, "the engine ended"))
        with pytest.raises(PortTaken, match=rf"was taken by pid {os.getpid()}"):
            server._require_fault_of_deployment(deployment)
        deployment.stop()


def test_port_shared_with_another_process_is_refused(tmp_path):
    with closing(listener(share=True)) as other:
        number = other.getsockname()[1]
        deployment = owned(tmp_path, sys.executable, "-c", SHARES_ITS_PORT, str(number), number=number)
        while deployment.process.last_line() != "up":
            assert deployment.process.wait(0.05) is None
        readiness = server._Readiness(deployment, lambda _: None)
        assert readiness.probe_port().reached is False
        assert f"pid {os.getpid()}" in readiness.port_taken
        deployment.stop()


def test_attached_endpoint_reaches_every_stage_and_is_never_ended():
    with QuickServer(Behaviour(model=MODEL)) as running:
        deployment = attach(profile_of(), running.url, api_key=None, progress=lambda _: None)
        assert deployment.ready
        assert tuple(stage.name for stage in deployment.stages) == ATTACHED
        assert not deployment.launched
        assert deployment.log_text() == ""
        assert deployment.stop() is None
        assert port.is_open(running.port)


def test_endpoint_where_nothing_answers_is_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match="nothing answers at http://127.0.0.1:"):
        attach(profile_of(), port.url_of("127.0.0.1", port.free_port()), api_key=None, progress=lambda _: None)


def test_attached_endpoint_with_another_model_breaks_at_the_model():
    with QuickServer(Behaviour(model="other")) as running:
        deployment = attach(profile_of(), running.url, api_key=None, progress=lambda _: None)
    assert deployment.broken.name == "model"


class SlowHealth(http.server.BaseHTTPRequestHandler):
    """`/health` is answered after the time in its server's `delay_s`."""

    def do_GET(self) -> None:
        if not self.server.over.wait(self.server.delay_s):
            self.send_response(200)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def slow() -> Iterator[Callable[[float], str]]:
    made: list[http.server.ThreadingHTTPServer] = []

    def start(delay_s: float) -> str:
        running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowHealth)
        running.delay_s, running.over = delay_s, threading.Event()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        made.append(running)
        return f"http://127.0.0.1:{running.server_port}"

    yield start
    for running in made:
        running.over.set()
        running.shutdown()
        running.server_close()


def test_slow_health_is_waited_for(slow):
    deployment = attach(profile_of(deadlines={"health_s": 1}), slow(0.3), api_key=None, progress=lambda _: None)
    assert deployment.stages[0].ok


def test_health_that_hangs_is_named(slow):
    deployment = attach(profile_of(deadlines={"health_s": 0.3}), slow(60), api_key=None, progress=lambda _: None)
    assert deployment.broken.name == "health"
    assert "timeout" in deployment.broken.detail
