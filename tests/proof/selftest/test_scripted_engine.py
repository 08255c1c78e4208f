"""Each behaviour of the scripted engine does what its name says, and nothing outlives these tests."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from standins.probes import direct
from standins.quick_server import CHAT, QuickServer
from tests.support.runs import eventually

SCRIPT = Path(__file__).resolve().parents[2] / "proof" / "standins" / "scripted_engine.py"
NAME = "the-model"


@dataclass(frozen=True)
class Engine:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_text(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> requests.Response:
        return direct().get(self.url + path, timeout=5)

    def chat(self, timeout_s: float = 5) -> requests.Response:
        body = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
        return direct().post(self.url + CHAT, json=body, timeout=timeout_s)

    def is_up(self) -> bool:
        with suppress(requests.ConnectionError):
            return self.get("/health").status_code == 200
        return False

    def children(self) -> list[int]:
        """Living processes with the marker of this engine, under any parent."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if words[-3:-1] == [b"standin-child", str(self.port).encode()]:
                    found.append(int(entry.name))
        return found


def free_port() -> int:
    with QuickServer() as server:
        return server.port


@contextmanager
def started(behaviour: str, tmp_path: Path, **env: str) -> Iterator[Engine]:
    port, log = free_port(), tmp_path / "engine.log"
    argv = [str(SCRIPT), "serve", "/models/x", "--port", str(port), "--served-model-name", NAME, "--dtype", "bfloat16"]
    with log.open("wb") as out:
        given = {**os.environ, "VLM_STANDIN": behaviour, **env}
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, env=given, start_new_session=True)
    engine = Engine(process, port, log)
    try:
        yield engine
    finally:
        process.kill()
        process.wait()
        for pid in engine.children():
            os.kill(pid, signal.SIGKILL)


def test_ready_serves_the_model_and_stops_on_a_signal(tmp_path: Path) -> None:
    with started("ready", tmp_path) as engine:
        assert eventually(engine.is_up)
        assert engine.get("/v1/models").json()["data"][0]["id"] == NAME
        assert engine.chat().json()["choices"][0]["message"]["content"] == "hello"
        engine.process.terminate()
        assert engine.process.wait(5) == 0
    assert "Loading weights took 2.03 seconds" in engine.log_text()
    assert not engine.children()


def test_ready_dies_when_its_port_is_taken(tmp_path: Path) -> None:
    with QuickServer() as other:
        argv = [str(SCRIPT), "serve", "x", "--port", str(other.port)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert "address already in use" in done.stderr


def test_binds_late_dies_when_another_process_takes_its_port(tmp_path: Path) -> None:
    with started("binds-late", tmp_path) as engine:
        time.sleep(0.5)
        assert engine.process.poll() is None
        with QuickServer(port=engine.port):
            assert engine.process.wait(15) == 1
    assert "address already in use" in engine.log_text()


@pytest.mark.parametrize("behaviour", ["logs-key", "dies-of-key"])
def test_key_is_in_the_log(behaviour: str, tmp_path: Path) -> None:
    with started(behaviour, tmp_path, VLLM_API_KEY="sk-planted") as engine:
        assert eventually(lambda: "sk-planted" in engine.log_text())


def test_engine_is_found_on_path_as_vllm(tmp_path: Path) -> None:
    (tmp_path / "vllm").symlink_to(SCRIPT)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["vllm", "--version"], env=env, capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "0.18.0\n"


@pytest.mark.parametrize(
    ("behaviour", "code", "last"),
    [
        ("dies-loading", 1, "RuntimeError: Engine core initialization failed"),
        ("oom-at-start", 1, "RuntimeError: Engine core initialization failed"),
        ("exits-zero", 0, "Loading safetensors checkpoint shards"),
    ],
)
def test_death_during_start_has_its_code_and_its_last_line(
    behaviour: str, code: int, last: str, tmp_path: Path
) -> None:
    with started(behaviour, tmp_path, VLM_STANDIN_DELAY="0.2") as engine:
        assert engine.process.wait(10) == code
    assert last in engine.log_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        ("dies-loading", "KeyError: 'language_model"),
        ("oom-at-start", "ValueError: Free memory on device (3.21/29.50 GiB)"),
    ],
)
def test_death_during_start_names_its_cause(behaviour: str, cause: str, tmp_path: Path) -> None:
    with started(behaviour, tmp_path, VLM_STANDIN_DELAY="0.2") as engine:
        engine.process.wait(10)
    assert cause in engine.log_text()


@pytest.mark.parametrize(
    ("behaviour", "said"), [("hangs-loading", "checkpoint shards"), ("listens-nothing", "Starting vLLM API server")]
)
def test_engine_that_never_listens_stays_alive(behaviour: str, said: str, tmp_path: Path) -> None:
    with started(behaviour, tmp_path) as engine:
        assert eventually(lambda: said in engine.log_text())
        time.sleep(0.3)
        assert engine.process.poll() is None
        assert not engine.is_up()
        engine.process.terminate()
        assert engine.process.wait(5) == 0


def test_health_too_early_refuses_to_chat(tmp_path: Path) -> None:
    with started("health-too-early", tmp_path) as engine:
        assert eventually(engine.is_up)
        assert engine.chat().status_code == 503


def test_wrong_model_id_lists_and_serves_another_model(tmp_path: Path) -> None:
    with started("wrong-model-id", tmp_path) as engine:
        assert eventually(engine.is_up)
        assert engine.get("/v1/models").json()["data"][0]["id"] != NAME
        assert engine.chat().status_code == 404


def test_ignores_sigterm_needs_sigkill(tmp_path: Path) -> None:
    with started("ignores-sigterm", tmp_path) as engine:
        assert eventually(engine.is_up)
        engine.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            engine.process.wait(0.5)
        assert engine.is_up()


def test_two_processes_end_together_on_a_signal(tmp_path: Path) -> None:
    with started("two-processes", tmp_path) as engine:
        assert eventually(engine.is_up)
        (child,) = engine.children()
        assert os.getsid(child) == engine.process.pid
        engine.process.terminate()
        assert engine.process.wait(5) == 0
        assert not engine.children()


def test_two_processes_leave_the_child_after_sigkill(tmp_path: Path) -> None:
    with started("two-processes", tmp_path) as engine:
        assert eventually(engine.is_up)
        engine.process.kill()
        engine.process.wait()
        assert len(engine.children()) == 1


def test_leaves_children_in_a_session_of_their_own(tmp_path: Path) -> None:
    with started("leaves-children", tmp_path) as engine:
        assert eventually(engine.is_up)
        engine.process.terminate()
        assert engine.process.wait(5) == 0
        (child,) = engine.children()
        assert os.getsid(child) == child


def test_floods_log_gets_ready(tmp_path: Path) -> None:
    with started("floods-log", tmp_path) as engine:
        assert eventually(engine.is_up)
        size = engine.log.stat().st_size
        assert size > 80_000_000
        assert eventually(lambda: engine.log.stat().st_size > size)
        engine.process.terminate()
        assert engine.process.wait(5) == 0


def test_computes_runs_and_sleeps_on_its_only_processor(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    how = {"VLM_STANDIN_CPU": str(cpu), "VLM_STANDIN_RUNS": "0.1", "VLM_STANDIN_SLEEPS": "0.2"}
    with started("computes", tmp_path, **how) as engine:
        assert eventually(engine.is_up)
        process = psutil.Process(engine.process.pid)
        began_s, ran_s = time.monotonic(), sum(process.cpu_times()[:2])
        assert engine.chat(60).status_code == 200
        assert time.monotonic() - began_s >= 0.3
        assert sum(process.cpu_times()[:2]) - ran_s >= 0.08
        assert os.sched_getaffinity(engine.process.pid) == {cpu}


@pytest.mark.parametrize("behaviour", ["talks-long", "halves-at-the-end"])
def test_the_end_cuts_a_long_answer_or_closes_half_of_it(behaviour: str, tmp_path: Path) -> None:
    long = {"max_tokens": 400, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    body = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], **long}
    received: list[bytes] = []
    with started(behaviour, tmp_path) as engine:
        assert eventually(engine.is_up)
        with direct().post(engine.url + CHAT, json=body, timeout=30, stream=True) as answer:
            frames = answer.iter_lines()
            received.append(next(frames))
            engine.process.terminate()
            with suppress(requests.exceptions.ChunkedEncodingError):
                received += frames
        assert engine.process.wait(10) == 0
    is_closed = b"data: [DONE]" in received
    assert is_closed == (behaviour == "halves-at-the-end")
    assert (b'"completion_tokens":200' in b"".join(received)) == is_closed


def test_dies_in_request_answers_the_first_ones(tmp_path: Path) -> None:
    with started("dies-in-request", tmp_path) as engine:
        assert eventually(engine.is_up)
        assert [engine.chat().status_code for _ in range(2)] == [200, 200]
        with pytest.raises(requests.ConnectionError):
            engine.chat()
        assert engine.process.wait(5) == 1
    assert "error code:507015" in engine.log_text()


def test_hangs_in_request_keeps_its_health(tmp_path: Path) -> None:
    with started("hangs-in-request", tmp_path, VLM_STANDIN_AFTER="1") as engine:
        assert eventually(engine.is_up)
        assert engine.chat().status_code == 200
        with pytest.raises(requests.ReadTimeout):
            engine.chat(0.3)
        assert engine.get("/health").status_code == 200


def test_unknown_behaviour_is_refused_in_one_line(tmp_path: Path) -> None:
    with started("sings", tmp_path) as engine:
        assert engine.process.wait(5) == 1
    assert engine.log_text().startswith("vllm: VLM_STANDIN is 'sings'; known: ready, ")
    assert engine.log_text().count("\n") == 1
