"""Many requests at once: each sent once, in order, never too many in flight, each result handed over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from tests.support.wire import Answer, WireRequest, WireServer, response

from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import Pool, map_all, send_all
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem
from vlm_acceptance.core.exchange import Exchange, Request

Wire = Callable[[Answer], WireServer]
IDS = [f"q{number}" for number in range(50)]


class Endpoint:
    """Answers with what `answer` returns, and keeps what was sent in which order."""

    def __init__(self, answer: Callable[[str], str] = str.upper) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.in_flight = self.most = 0
        self.lock = threading.Lock()

    def send(self, ident: str) -> str:
        with self.lock:
            self.sent.append(ident)
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        try:
            return self.answer(ident)
        finally:
            with self.lock:
                self.in_flight -= 1


def received(pool: Pool[str, str]) -> list[str]:
    return [pair[0] for pair in pool if pair is not None]


def handed_over(pool: Pool[str, str], take: Callable[[str | None], object]) -> None:
    """Calls `take` with everything that came back, and with None for every tick."""
    for pair in pool:
        take(pair and pair[0])


@pytest.mark.parametrize("concurrency", [1, 2, 8, 64, 1000])
def test_everything_is_sent_once_and_every_result_handed_over(concurrency: int) -> None:
    endpoint = Endpoint()
    pairs = list(Pool(endpoint.send, IDS, concurrency))
    assert sorted(pair for pair in pairs if pair is not None) == sorted((ident, ident.upper()) for ident in IDS)
    assert sorted(endpoint.sent) == sorted(IDS)


def test_nothing_to_send_is_done_at_once() -> None:
    assert list(Pool(Endpoint().send, [], 8)) == []


def test_one_at_a_time_is_sent_in_order() -> None:
    def uneven(ident: str) -> str:
        time.sleep(random.Random(ident).choice([0, 0, 0.004]))
        return ident

    endpoint = Endpoint(uneven)
    assert received(Pool(endpoint.send, IDS, 1)) == endpoint.sent == IDS


def test_results_come_as_soon_as_they_are_there() -> None:
    gate = threading.Event()

    def wait_for_the_first(ident: str) -> str:
        if ident == "q0":
            gate.wait(10)
        return ident

    seen = []
    for pair in Pool(Endpoint(wait_for_the_first).send, IDS, 4):
        if pair is not None:
            seen.append(pair[0])
        if len(seen) == len(IDS) - 1:
            gate.set()
    assert seen[-1] == "q0"


def test_no_more_are_sent_than_may_be_even_while_results_wait_to_be_recorded() -> None:
    endpoint = Endpoint()
    for recorded, _ in enumerate(Pool(endpoint.send, IDS, 4)):
        time.sleep(0.002)
        # after n results are recorded, at most n + 4 were ever sent
        assert len(endpoint.sent) <= recorded + 4
    assert endpoint.most <= 4


def test_requests_are_taken_one_by_one_and_not_ahead() -> None:
    taken = 0

    def given() -> Iterator[str]:
        nonlocal taken
        for ident in IDS:
            taken += 1
            yield ident

    pool = Pool(Endpoint().send, given(), 3)
    for recorded, _ in enumerate(pool):
        assert taken <= recorded + 3
        assert pool.in_flight <= 3
    assert pool.in_flight == 0


def test_requests_are_taken_in_the_callers_thread_only() -> None:
    threads: set[threading.Thread] = set()

    def given() -> Iterator[str]:
        for ident in IDS:
            threads.add(threading.current_thread())
            yield ident

    assert len(received(Pool(Endpoint().send, given(), 8))) == len(IDS)
    assert threads == {threading.current_thread()}


def test_nothing_more_is_sent_after_a_stop_and_what_is_in_flight_is_handed_over() -> None:
    endpoint = Endpoint()
    pool = Pool(endpoint.send, IDS, 4)
    got: list[str] = []
    for pair in pool:
        assert pair is not None
        got.append(pair[0])
        if len(got) >= 10:
            pool.stop()
    assert sorted(got) == sorted(endpoint.sent)
    assert 10 <= len(got) <= 14


def test_silence_is_reported_so_that_a_dead_endpoint_can_end_the_run() -> None:
    gate = threading.Event()

    def silent(ident: str) -> str:
        gate.wait(10)
        return ident

    endpoint = Endpoint(silent)
    pool = Pool(endpoint.send, IDS, 4, tick_s=0.05)
    ticks = 0
    for pair in pool:
        if pair is None:
            ticks += 1
            pool.stop()
            gate.set()
    assert ticks >= 1
    assert len(endpoint.sent) == 4


def broken_by(error: BaseException) -> Callable[[str], str]:
    def answer(ident: str) -> str:
        if ident == "q20":
            raise error
        return ident

    return answer


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), SystemExit("oh")])
def test_thread_that_breaks_is_a_harness_problem_that_names_the_request(error: BaseException) -> None:
    endpoint = Endpoint(broken_by(error))
    many = [f"q{number}" for number in range(5000)]
    with pytest.raises(HarnessProblem, match=f"sending 'q20' broke: {type(error).__name__}: oh") as raised:
        received(Pool(endpoint.send, many, 8))
    assert raised.value.__cause__ is error
    assert len(endpoint.sent) < len(many)


def test_problem_of_ours_is_raised_as_it_is_and_what_was_in_flight_is_handed_over() -> None:
    endpoint = Endpoint(broken_by(EnvironmentProblem("the picture is gone")))
    got: list[str | None] = []
    with pytest.raises(EnvironmentProblem, match="picture is gone"):
        handed_over(Pool(endpoint.send, IDS, 4), got.append)
    assert sorted([*map(str, got), "q20"]) == sorted(endpoint.sent)


def test_result_that_cannot_be_recorded_ends_the_run() -> None:
    def full(_: str | None) -> None:
        raise EnvironmentProblem("the disk is full")

    endpoint = Endpoint()
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        handed_over(Pool(endpoint.send, IDS, 4), full)
    assert len(endpoint.sent) <= 4


def test_interrupt_does_not_wait_for_an_endpoint_that_hangs() -> None:
    gate = threading.Event()

    def hang(ident: str) -> str:
        gate.wait(60)
        return ident

    def interrupt(came: str | None) -> None:
        assert came is None
        raise KeyboardInterrupt

    endpoint = Endpoint(hang)
    with pytest.raises(KeyboardInterrupt):
        handed_over(Pool(endpoint.send, IDS, 4, tick_s=0.05), interrupt)
    assert not gate.is_set()
    gate.set()
    assert len(endpoint.sent) == 4


def test_threads_end_with_the_pool() -> None:
    before = threading.active_count()
    received(Pool(Endpoint().send, IDS, 8))
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_results_of_all_are_in_the_order_given() -> None:
    def uneven(number: int) -> int:
        time.sleep(0.003 * (number % 3))
        return number * number

    assert map_all(uneven, range(20), 8) == [number * number for number in range(20)]
    assert map_all(uneven, [], 8) == []


def test_many_requests_are_answered_in_the_order_sent(wire: Wire) -> None:
    def answer(request: WireRequest) -> Iterable[object]:
        return [0.05 if request.path.endswith("0") else 0.0, response(request.path.encode())]

    client = Client(wire(answer).url)
    seen = send_all(client, [Request("GET", f"/{n}") for n in range(20)], 8)
    assert [exchange.body.decode() for exchange in seen] == [f"/{n}" for n in range(20)]


def test_no_more_requests_are_in_flight_than_allowed(wire: Wire) -> None:
    here, most, lock = [0], [0], threading.Lock()

    def answer(request: WireRequest) -> Iterable[object]:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        yield 0.02
        with lock:
            here[0] -= 1
        yield response(b"")

    send_all(Client(wire(answer).url), [Request("GET", "/x")] * 12, 3)
    assert most[0] == 3


def test_a_request_that_breaks_our_own_code_is_no_answer() -> None:
    class Broken(Client):
        def send(self, request: Request) -> Exchange:
            raise SystemExit

    with pytest.raises(HarnessProblem, match="SystemExit"):
        send_all(Broken("http://127.0.0.1:1"), [Request("GET", "/x")] * 2, 2)
