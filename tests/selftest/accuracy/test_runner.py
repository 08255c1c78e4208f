"""Many questions at once: in order, bounded, every answer handed over, and none asked twice after a kill."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.wire import response, said

from vlm_acceptance.accuracy.answers_file import answers, read
from vlm_acceptance.accuracy.item import Answer, PreparedRequest
from vlm_acceptance.accuracy.runner import InOrder, progress_line, run
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem

IDS = [f"q{number}" for number in range(50)]
ANSWER = Answer("", "answered", "A", "stop", 9, 1, "", 200, "2026-11-22T20:00:00+00:00", 0.1, (), "ab" * 32, (), "m")


def make(ident: str) -> PreparedRequest:
    return PreparedRequest(ident, "", f"text of {ident}", (), {})


class Endpoint:
    """Answers when it is told to; knows what is under way and in which order it was sent."""

    def __init__(
        self, answer: Callable[[PreparedRequest], Answer] = lambda asked: replace(ANSWER, id=asked.id)
    ) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.prepared = self.under_way = self.most = 0
        self.lock = threading.Lock()

    def prepare(self, asked: PreparedRequest) -> Callable[[], Answer]:
        with self.lock:
            self.prepared += 1
        return lambda: self.send(asked)

    def send(self, asked: PreparedRequest) -> Answer:
        with self.lock:
            self.sent.append(asked.id)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            return self.answer(asked)
        finally:
            with self.lock:
                self.under_way -= 1


def collect(endpoint: Endpoint, concurrency: int = 8, **options: Callable) -> list[str]:
    got: list[str] = []
    run(IDS, make, endpoint, concurrency=concurrency, on_answer=lambda a: got.append(a.id), **options)
    return got


@pytest.mark.parametrize("concurrency", [1, 2, 8, 64, 1000])
def test_every_question_is_asked_once_and_every_answer_handed_over(concurrency: int) -> None:
    endpoint = Endpoint()
    assert sorted(collect(endpoint, concurrency)) == sorted(IDS)
    assert sorted(endpoint.sent) == sorted(IDS)


def test_nothing_to_ask_is_done_at_once() -> None:
    run([], make, Endpoint(), concurrency=8, on_answer=lambda _: None)


def test_one_at_a_time_is_asked_in_order_however_long_a_request_takes_to_build() -> None:
    class Uneven(Endpoint):
        def prepare(self, asked: PreparedRequest) -> Callable[[], Answer]:
            time.sleep(random.Random(asked.id).choice([0, 0, 0.004]))
            return super().prepare(asked)

    endpoint = Uneven()
    assert collect(endpoint, 1) == IDS
    assert endpoint.sent == IDS


def test_no_more_are_sent_than_may_be_even_while_answers_wait_to_be_recorded() -> None:
    endpoint = Endpoint()
    seen: list[int] = []

    def slow(answer: Answer) -> None:
        time.sleep(0.002)
        seen.append(len(endpoint.sent))

    run(IDS, make, endpoint, concurrency=4, on_answer=slow)
    # after n answers are recorded, at most n + 4 were ever sent
    assert all(sent <= recorded + 4 for recorded, sent in enumerate(seen))
    assert endpoint.most <= 4


def test_requests_are_built_ahead_but_not_far_ahead() -> None:
    gate = threading.Event()

    def wait(asked: PreparedRequest) -> Answer:
        gate.wait(10)
        return replace(ANSWER, id=asked.id)

    endpoint = Endpoint(wait)
    ahead: list[int] = []

    def look() -> None:
        ahead.append(endpoint.prepared - len(endpoint.sent))
        gate.set()

    collect(endpoint, 2, on_wait=look)
    assert ahead[0] == 4


def test_answers_and_stops_are_seen_in_the_callers_thread_only() -> None:
    threads: set[threading.Thread] = set()

    def note(*_: object) -> bool:
        threads.add(threading.current_thread())
        return False

    run(IDS, make, Endpoint(), concurrency=8, on_answer=note, should_stop=note)
    assert threads == {threading.current_thread()}


def test_nothing_more_is_sent_after_a_stop_and_what_is_under_way_is_recorded() -> None:
    endpoint = Endpoint()
    got: list[str] = []
    run(IDS, make, endpoint, concurrency=4, on_answer=lambda a: got.append(a.id), should_stop=lambda: len(got) >= 10)
    assert sorted(got) == sorted(endpoint.sent)
    assert 10 <= len(got) <= 14


def test_silence_is_told_so_that_a_dead_endpoint_can_end_the_run() -> None:
    gate = threading.Event()
    waited: list[bool] = []

    def silent(asked: PreparedRequest) -> Answer:
        gate.wait(10)
        return replace(ANSWER, id=asked.id, status="lost", text=None)

    def wait() -> None:
        waited.append(True)
        gate.set()

    endpoint = Endpoint(silent)
    collect(endpoint, 4, on_wait=wait, should_stop=lambda: bool(waited))
    assert len(endpoint.sent) == 4


def broken_by(error: Exception) -> Callable[[PreparedRequest], Answer]:
    def answer(asked: PreparedRequest) -> Answer:
        if asked.id == "q20":
            raise error
        return replace(ANSWER, id=asked.id)

    return answer


def test_thread_that_breaks_is_a_harness_problem_that_names_the_question() -> None:
    endpoint = Endpoint(broken_by(ZeroDivisionError("oh")))
    many = [f"q{number}" for number in range(5000)]
    with pytest.raises(HarnessProblem, match="asking q20 broke: ZeroDivisionError: oh") as raised:
        run(many, make, endpoint, concurrency=8, on_answer=lambda _: None)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert len(endpoint.sent) < len(many)


def test_picture_that_is_gone_is_said_as_it_is_and_what_was_under_way_is_recorded() -> None:
    class Gone(Endpoint):
        def prepare(self, asked: PreparedRequest) -> Callable[[], Answer]:
            if asked.id == "q20":
                raise EnvironmentProblem("the picture is gone")
            return super().prepare(asked)

    endpoint, got = Gone(), []
    with pytest.raises(EnvironmentProblem, match="picture is gone"):
        run(IDS, make, endpoint, concurrency=4, on_answer=lambda a: got.append(a.id))
    assert sorted(got) == sorted(endpoint.sent)


def test_answer_that_cannot_be_recorded_ends_the_run() -> None:
    def full(_: Answer) -> None:
        raise EnvironmentProblem("the disk is full")

    endpoint = Endpoint()
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        run(IDS, make, endpoint, concurrency=4, on_answer=full)
    assert len(endpoint.sent) <= 4


def test_interrupt_does_not_wait_for_an_endpoint_that_hangs() -> None:
    gate = threading.Event()

    def hang(asked: PreparedRequest) -> Answer:
        gate.wait(60)
        return replace(ANSWER, id=asked.id)

    def interrupt() -> None:
        raise KeyboardInterrupt

    endpoint = Endpoint(hang)
    with pytest.raises(KeyboardInterrupt):
        collect(endpoint, 4, on_wait=interrupt)
    assert not gate.is_set()
    gate.set()
    assert len(endpoint.sent) == 4


def test_answers_pass_on_in_the_planned_order_as_soon_as_they_may() -> None:
    for seed in range(20):
        passed: list[str] = []
        ordered = InOrder(IDS, lambda answer, passed=passed: passed.append(answer.id))
        came: set[str] = set()
        for ident in random.Random(seed).sample(IDS, len(IDS)):
            ordered.add(replace(ANSWER, id=ident))
            came.add(ident)
            prefix = next((n for n, known in enumerate(IDS) if known not in came), len(IDS))
            assert passed == IDS[:prefix]


def test_progress_says_all_that_matters_in_one_line() -> None:
    line = progress_line("MMMU_val", 312, 900, 113, 0, fresh=312, elapsed_s=25.2)
    assert line == "MMMU_val 312/900  acc 36.2 % (31.1-41.7)  0 errors  12.4 q/s  0:47 left"


def test_progress_of_a_run_that_has_just_begun_has_no_rate_and_no_accuracy() -> None:
    assert progress_line("M", 0, 900, 0, 0, fresh=0, elapsed_s=0.0) == "M 0/900  0 errors"


def test_progress_counts_errors_apart_and_resumed_answers_do_not_hurry_it() -> None:
    line = progress_line("M", 901, 11000, 450, 1, fresh=100, elapsed_s=100.0)
    assert line == "M 901/11000  acc 50.0 % (46.7-53.3)  1 error  1.0 q/s  2:48:19 left"


CHILD = """
import sys
from pathlib import Path
from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.server_run import ServerAsker
from vlm_acceptance.accuracy.item import PreparedRequest
from vlm_acceptance.accuracy.runner import run
from vlm_acceptance.client.http import Client
path, identity = Path(sys.argv[1]), {"benchmark": "d"}
file = AnswerFile.resume(path, path, identity) if path.exists() else AnswerFile.create(path, identity)
ids = [f"q{n}" for n in range(int(sys.argv[3])) if f"q{n}" not in file.kept]
ask = ServerAsker(Client(sys.argv[2]), "m", None, 30)
run(ids, lambda id: PreparedRequest(id, "", id, (), {}), ask, concurrency=8, on_answer=file.add)
"""


class Answering(ThreadingHTTPServer):
    """Answers each question with a text of its own; knows every question whose whole request it has read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    def handle_error(self, *_: object) -> None:
        """Nothing: half a request is what a kill leaves."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Answering)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ident = body["messages"][0]["content"][0]["text"]
        self.server.asked.append(ident)
        time.sleep(0.003)
        self.wfile.write(response(json.dumps(said(f"answer to {ident}", body["model"])).encode()))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def answering() -> Iterator[Answering]:
    with Answering() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_run_killed_at_twenty_random_moments_ends_with_the_same_answers_and_asks_nothing_again(
    tmp_path: Path, answering: Answering
) -> None:
    path, total, kills, concurrency = tmp_path / "a.jsonl", 600, 20, 8
    argv = [sys.executable, "-c", CHILD, str(path), f"http://127.0.0.1:{answering.server_port}", str(total)]
    moments = random.Random(7)
    for _ in range(kills):
        since = len(answering.asked)
        kept = {answer.id for answer in answers(path)} if path.exists() else set()
        until = lines_of(path) + moments.randrange(1, 25)
        with subprocess.Popen(argv) as child:
            while child.poll() is None and lines_of(path) < until:
                time.sleep(moments.random() / 200)
            child.kill()
        assert not kept & set(answering.asked[since:])
    subprocess.run(argv, check=True)
    identity, found = read(path)
    assert identity == {"benchmark": "d"}
    assert {ident: answer.text for ident, answer in found.items()} == {f"q{n}": f"answer to q{n}" for n in range(total)}
    assert len(list(answers(path))) == total
    # what was under way at a kill is all that is asked again
    assert len(answering.asked) - total <= concurrency * kills
