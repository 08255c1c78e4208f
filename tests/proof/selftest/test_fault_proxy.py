"""Without a fault the proxy changes nothing; it passes each event at once and resets connections only for a fault."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from faults import FAULTS, OF_CLIENTS, fault_named
from standins.fault_proxy import FaultProxy
from standins.probes import PROBES, QUESTION, STREAM, arrivals, ask, ask_text, chat, direct, observed
from standins.quick_server import CHAT, Behaviour, QuickServer
from tests.support.runs import eventually

SCRIPT = Path(__file__).resolve().parents[2] / "proof" / "standins" / "fault_proxy.py"


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def test_stream_passes_event_by_event_unless_the_fault_is_not_streamed() -> None:
    with QuickServer(Behaviour(token_delay_s=0.1)) as slow:
        with FaultProxy(slow.url) as proxy:
            passed = arrivals(proxy.url, stream=True)
        with FaultProxy(slow.url, "not-streamed") as proxy:
            held = arrivals(proxy.url, stream=True)
    assert len(passed) == 6
    assert passed[-1] - passed[0] > 0.3
    assert len(held) == 1
    assert held[0] > 0.4


@pytest.mark.parametrize("is_stream", [True, False])
def test_ttft_added_delays_the_start_alone(is_stream: bool, engine: QuickServer) -> None:
    with FaultProxy(engine.url, "ttft-added", magnitude=1) as proxy:
        seen = arrivals(proxy.url, stream=is_stream)
    assert seen[0] >= 1
    assert seen[-1] - seen[0] < 1


@pytest.mark.parametrize("is_stream", [True, False])
def test_tpot_added_delays_each_token_after_the_first(is_stream: bool, engine: QuickServer) -> None:
    with FaultProxy(engine.url, "tpot-added", magnitude=0.5) as proxy:
        seen = arrivals(proxy.url, stream=is_stream)
    assert 1 <= seen[-1] < 1.5  # two tokens after the first
    assert seen[-1] - seen[0] > 0.9 or not is_stream


def test_proxy_without_a_fault_changes_nothing(engine: QuickServer) -> None:
    with FaultProxy(engine.url) as proxy:
        assert {p: observed(ask(proxy.url, p)) for p in PROBES} == {p: observed(ask(engine.url, p)) for p in PROBES}


@pytest.mark.parametrize("seed", [0, 1])
def test_status_500_some_strikes_one_in_fifty_by_the_seed(seed: int, engine: QuickServer) -> None:
    with FaultProxy(engine.url, "status-500-some", seed=seed) as proxy:
        statuses = [ask(proxy.url, "chat").status_code for _ in range(100)]
    with FaultProxy(engine.url, "status-500-some", seed=seed) as proxy:
        again = [ask(proxy.url, "chat").status_code for _ in range(50)]
    assert statuses.count(500) == 2
    assert statuses[:50] == statuses[50:] == again


def test_ids_repeated_gives_every_answer_the_first_id(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "ids-repeated") as proxy:
        ids = [ask(proxy.url, probe).json()["id"] for probe in ("chat", "picture", "several")]
        assert f'"id":"{ids[0]}"' in ask(proxy.url, "stream").text
    assert len(set(ids)) == 1
    assert ask(engine.url, "chat").json()["id"] not in ids


@pytest.mark.parametrize("more", [{}, STREAM])
def test_answer_of_previous_is_right_only_once(more: dict[str, Any], engine: QuickServer) -> None:
    with FaultProxy(engine.url, "answer-of-previous") as proxy:
        said = [ask_text(proxy.url, question, **more) for question in ("a", "b", "c")]
    assert said == ["a", "a", "b"]


@pytest.mark.parametrize("more", [{}, STREAM])
def test_answers_swapped_exchanges_two_concurrent_answers(more: dict[str, Any], engine: QuickServer) -> None:
    with FaultProxy(engine.url, "answers-swapped") as proxy, ThreadPoolExecutor(2) as threads:
        said = list(threads.map(lambda text: ask_text(proxy.url, text, **more), ["first", "second"]))
        alone = ask_text(proxy.url, "alone", **more)
    assert said == ["second", "first"]
    assert alone == "alone"


def test_truncated_body_is_complete_by_its_length(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "truncated-body") as proxy:
        whole, stream = ask(proxy.url, "chat"), ask(proxy.url, "stream")
    assert len(whole.content) == pytest.approx(len(ask(engine.url, "chat").content) / 2, abs=1)
    assert stream.content.count(b"\n\n") == 1
    assert not stream.content.endswith(b"\n\n")


@pytest.mark.parametrize("probe", ["chat", "stream"])
def test_connection_reset_cuts_after_the_bytes_of_the_magnitude(probe: str, engine: QuickServer) -> None:
    method, path, body = PROBES[probe]
    with FaultProxy(engine.url, "connection-reset", magnitude=60) as proxy:
        response = direct().request(method, proxy.url + path, json=body, stream=True, timeout=10)
        assert len(response.raw.read(60, decode_content=False)) == 60
        with pytest.raises(requests.RequestException):
            _ = response.content
    assert response.status_code == 200


def test_health_only_answers_health_and_lets_the_rest_hang(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "health-only", magnitude=0.3) as proxy:
        assert ask(proxy.url, "health").status_code == 200
        for probe in set(PROBES) - {"health"}:
            method, path, _ = PROBES[probe]
            with pytest.raises(requests.ReadTimeout):
                direct().request(method, proxy.url + path, timeout=0.05)
        with pytest.raises(requests.ConnectionError):
            ask(proxy.url, "chat")


def test_dead_engine_is_a_broken_connection_not_an_answer() -> None:
    with QuickServer() as engine:
        url = engine.url
    with FaultProxy(url) as proxy, pytest.raises(requests.ConnectionError):
        ask(proxy.url, "chat")


@pytest.mark.parametrize("behaviour", [Behaviour(chat_status=0), Behaviour(token_delay_s=1.5)], ids=["silent", "slow"])
@pytest.mark.parametrize("fault", [None, "not-streamed"])
def test_request_that_the_client_gives_up_ends_at_the_engine_too(fault: str | None, behaviour: Behaviour) -> None:
    with QuickServer(behaviour) as engine, FaultProxy(engine.url, fault) as proxy:
        body = chat("word " * 50, stream=behaviour.chat_status == 200)
        with direct() as session, pytest.raises(requests.RequestException):
            session.post(proxy.url + CHAT, json=body, timeout=0.1)
        assert engine.seen[-1].json() == body
        assert eventually(lambda: not engine.connections)


def test_many_requests_at_once_each_get_their_own_answer(engine: QuickServer) -> None:
    questions = [f"question {n}" for n in range(64)]
    with FaultProxy(engine.url) as proxy, ThreadPoolExecutor(32) as threads:
        assert list(threads.map(lambda text: ask_text(proxy.url, text), questions)) == questions


def test_proxy_that_ends_leaves_no_thread_and_no_port(engine: QuickServer) -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(1) as threads:
        with FaultProxy(engine.url, "health-only") as proxy:
            hanging = threads.submit(ask, proxy.url, "chat")
            time.sleep(0.1)
        assert isinstance(hanging.exception(), requests.ConnectionError)
    assert eventually(lambda: set(threading.enumerate()) == before)
    with pytest.raises(requests.ConnectionError):
        ask(proxy.url, "health")


def test_unknown_fault_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^unknown fault 'mising-id'\. Did you mean 'missing-id'\? Known: [^\n]*$"):
        FaultProxy("http://127.0.0.1:1", "mising-id")


def test_unknown_fault_on_the_command_line_is_one_line() -> None:
    script = [sys.executable, str(SCRIPT), "--upstream", "http://127.0.0.1:1"]
    done = subprocess.run([*script, "--fault", "nonsense"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("fault_proxy: unknown fault 'nonsense'.")
    assert done.stderr.count("\n") == 1


def test_proxy_run_by_path_prints_its_port_and_serves(engine: QuickServer) -> None:
    script = [
        sys.executable,
        str(SCRIPT),
        "--upstream",
        engine.url,
        "--fault",
        "text-empty",
    ]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        said = ask_text(f"http://127.0.0.1:{port}", QUESTION)
        process.terminate()
    assert said == ""


def test_every_row_has_a_known_family_and_a_description() -> None:
    families = {"answers", "inputs", "load", "pictures", "response", "stream", "request", "server", "stored"}
    assert all(fault_named(name).family in families | OF_CLIENTS for name in FAULTS)
    assert all(fault.what and fault.magnitude > 0 for fault in FAULTS.values())


@pytest.mark.parametrize("is_proxied", [True, False])
def test_closed_connection_is_announced_so_that_a_pool_never_gets_a_reset(
    is_proxied: bool, engine: QuickServer
) -> None:
    with FaultProxy(engine.url) as proxy, direct() as session:
        url = proxy.url if is_proxied else engine.url
        answers = [session.get(url + "/health", headers={"Connection": "close"}, timeout=5) for _ in range(200)]
    assert all(answer.headers["connection"] == "close" for answer in answers)
