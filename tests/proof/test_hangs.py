"""The real engine is stopped or killed while it generates: the soak reports it, and nothing is left."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import psutil
import pytest
from check_ids import SOAK, node
from deaths import lives

from vlm_acceptance.checks.server_info import figure_of, metrics
from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.engine.port import free_port, holders

HANG_S = 6
START_S = 240


class Stopper(threading.Thread):
    """Sends a signal to the server, or to its child that generates, once the soak has generated enough tokens."""

    def __init__(self, port: int, whole: bool, number: signal.Signals = signal.SIGSTOP) -> None:
        super().__init__(daemon=True)
        self.port, self.whole, self.number = port, whole, number
        self.stopped: list[psutil.Process] = []
        self.at_s = 0.0

    def run(self) -> None:
        client = Client(f"http://127.0.0.1:{self.port}")
        until = time.monotonic() + START_S
        while time.monotonic() < until and not self.stopped:
            page = client.send(get("/metrics", 2))
            if page.status == 200:
                figures = metrics(page.body.decode())
                # after two rounds of the soak: before, a first request of its kind may still compile
                if (figure_of(figures, "vllm:generation_tokens") or 0) > 1500:
                    self.stop()
            time.sleep(0.1)

    def stop(self) -> None:
        (server,) = holders(self.port, "127.0.0.1")
        below = [child for child in server.children(recursive=True) if child.num_threads() > 1]
        for process in [server] if self.whole else below:
            process.send_signal(self.number)
            self.stopped.append(process)
        self.at_s = time.monotonic()


def commands_with(port: int) -> list[list[str]]:
    """Command lines that contain this port; processes that end meanwhile are left out."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(port) in word for word in line)]


@pytest.mark.parametrize("fault", ["real-server-stopped", "real-core-stopped"])
def test_stopped_engine_is_reported_as_a_hang_and_taken_down(accept, prove, fault):
    whole = fault == "real-server-stopped"
    port = free_port()
    stopper = Stopper(port, whole)
    stopper.start()
    apart = [] if whole else ["--vlm-set=engine.env.VLLM_ENABLE_V1_MULTIPROCESSING=1"]
    try:
        run = accept(
            *("--vlm-profile=control-cpu", f"--vlm-port={port}", "-m", "slow", node(SOAK), *apart),
            *("--vlm-soak-s=120", f"--vlm-set=load.hang_s={HANG_S}", "--vlm-set=engine.stop_timeout_s=5"),
        )
    finally:
        for process in stopper.stopped:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
    assert stopper.stopped, run.out
    prove(fault, run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 1
    assert f"no token and no answer for {HANG_S}" in run.messages
    assert "vllm:generation_tokens" in run.messages
    assert ("/metrics has been silent" in run.messages) == whole
    assert time.monotonic() - stopper.at_s < HANG_S + 30
    assert not any(map(lives, stopper.stopped))
    assert commands_with(port) == []


@pytest.mark.fault("real-killed")
def test_killed_engine_is_rejected_before_the_soak_is_over(accept, prove):
    port = free_port()
    killer = Stopper(port, True, signal.SIGKILL)
    killer.start()
    run = accept("--vlm-profile=control-cpu", f"--vlm-port={port}", "-m", "slow", node(SOAK), "--vlm-soak-s=120")
    prove("real-killed", run)
    assert run.code == 1, run.out
    assert "the engine ended (signal 9): 64 requests in a row got no answer" in run.messages
    assert time.monotonic() - killer.at_s < 60
    assert commands_with(port) == []
