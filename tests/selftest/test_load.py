"""The load itself against a server that answers at once: what is sent, what is kept, when it gives up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "proof"))  # the stand-ins are scripts, not a package

from standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance import load
from vlm_acceptance.asker import Asker
from vlm_acceptance.case import load_categories
from vlm_acceptance.checks.hang import Reading
from vlm_acceptance.checks.load import Asked
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.leaving import LeavingClient
from vlm_acceptance.client.messages import chat_body
from vlm_acceptance.errors import HarnessProblem, NoReply
from vlm_acceptance.exchange import Exchange
from vlm_acceptance.profile import Budget, Deadlines
from vlm_acceptance.soak import SILENT_IN_A_ROW, figures, memory_figures, soak
from vlm_acceptance.suite import CASES, IMAGES


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


@pytest.fixture
def recorded() -> list[Exchange]:
    return []


@pytest.fixture
def ask(engine: QuickServer, recorded: list[Exchange]) -> Asker:
    return Asker(Client(engine.url), MODEL, Deadlines(request_s=5, cold_s=5), recorded.append, set())


def job(word: str, **params: object) -> load.Job:
    """The server says what it is asked."""
    return load.Job(
        Asked(word, ((word,),)), chat_body(MODEL, f"{word} and seven more words to say as tokens", **params)
    )


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
JOBS = [job("alpha"), job("beta", **STREAM), job("gamma"), job("delta", **STREAM)]


def watched(ask: Asker, patience_s: float = 60) -> load.Watchdog:
    return load.Watchdog(ask.client, patience_s)


def test_jobs_are_all_pictures_and_texts_mixed_and_half_streamed() -> None:
    made = load.jobs("m", load_categories(CASES, IMAGES), {("What is written on the sign?", "ocr/sign-1.png"): "X"})
    assert len(made) == 64
    assert len({one.asked.id for one in made}) == 64
    assert sum(bool(one.body.get("stream")) for one in made) == 32
    assert sum(not one.asked.is_picture for one in made) == 8
    assert next(one for one in made if one.asked.id == "ocr/sign-1").asked.known == "X"
    few = load.mixed(made, 16)
    assert len(few) == 16
    assert sum(not one.asked.is_picture for one in few) == 4
    assert {bool(one.body.get("stream")) for one in few} == {True, False}
    assert load.jobs("m", load_categories(CASES, IMAGES), {})[0].asked.id == made[0].asked.id


def test_known_answers_are_found_by_prompt_and_picture() -> None:
    known = load.known_answers(IMAGES.parent / "control" / "expected.jsonl")
    assert known["What is written on the sign?", "ocr/sign-1.png"] == "The sign says RIVER 472."
    assert known["Reply with OK.", ""] == "OK"


def test_a_burst_is_out_at_once_and_comes_back_in_order(
    ask: Asker, engine: QuickServer, recorded: list[Exchange]
) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.02)
    began = time.monotonic()
    seen = load.burst(ask, [one.body for one in JOBS * 4], 60)
    assert time.monotonic() - began < 1.5  # one after another they take three seconds
    assert seen.hang is None
    replies = seen.replies(range(16))
    texts = [reply.text.split()[0] for reply in replies if not isinstance(reply, NoReply)]
    assert texts == ["alpha", "beta", "gamma", "delta"] * 4
    assert len(recorded) == 16


def test_a_hang_ends_a_burst_long_before_its_deadlines(
    ask: Asker, engine: QuickServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.behaviour = Behaviour(chat_status=0)
    monkeypatch.setattr(load, "POLL_S", 0.05)
    monkeypatch.setattr(engine, "_metrics", lambda: "vllm:num_requests_running 4\nvllm:generation_tokens_total 7\n")
    began = time.monotonic()
    seen = load.burst(ask, [one.body for one in JOBS], 0.3)
    assert time.monotonic() - began < 2
    assert seen.hang is not None
    assert seen.hang.in_flight == 4
    assert [str(reply) for reply in seen.replies([0])] == ["given up"]


def test_a_broken_thread_of_ours_is_no_finding_about_the_engine(ask: Asker) -> None:
    def take(_number: int, _exchange: Exchange) -> None:
        raise RuntimeError("ours")

    requests = iter([(0, ask.request(JOBS[0].body))])
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        with pytest.raises(HarnessProblem, match="1 of 1 threads"):
            load.Load(ask.client, 1, take, watched(ask)).run(requests)
    finally:
        threading.excepthook = hook


def test_a_client_leaves_in_mid_stream_and_is_called_right_before(engine: QuickServer) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.02)
    called: list[int] = []
    client = LeavingClient(engine.url, None, 3, lambda: called.append(1))
    body = chat_body(MODEL, "one two three four five six seven eight nine ten", **STREAM)
    exchange = client.send(Asker(client, MODEL, Deadlines(), lambda _: None, set()).request(body))
    assert exchange.error is None
    assert 3 <= len(exchange.frames) <= 5
    assert called == [1]


def test_a_soak_asks_round_after_round_and_keeps_figures(ask: Asker, recorded: list[Exchange]) -> None:
    made = soak(ask, JOBS, 0.6, 4, watched(ask))
    assert made.hang is None
    assert made.given_up == ""
    assert len(made.served) > 20
    assert made.faults == []
    assert len(recorded) == len(JOBS)
    assert len(made.itl) > len(made.served)
    row = figures(made, Budget(e2e_s=5))
    assert row["unanswered"] == 0
    assert row["goodput"].startswith(f"{len(made.served)} of {len(made.served)} ")
    assert row["ttft"].n == len([one for one in made.served if one.sample and one.sample.ttft_s])
    assert memory_figures(made) == {}


def test_a_soak_keeps_what_was_wrong_and_gives_up_when_nothing_is_answered(ask: Asker, engine: QuickServer) -> None:
    wrong = [*JOBS[1:], load.Job(replace(JOBS[0].asked, parts=(("omega",),)), JOBS[0].body)]
    made = soak(ask, wrong, 0.3, 2, watched(ask))
    assert {fault.check for fault in made.faults} == {"load.answer"}
    assert set(made.kept) == {"alpha"}
    engine.behaviour = Behaviour(chat_status=500)
    made = soak(ask, JOBS, 30, 4, watched(ask))
    assert "in a row got no answer" in made.given_up
    assert SILENT_IN_A_ROW <= len(made.served) < 2 * SILENT_IN_A_ROW


def test_memory_is_read_of_what_lives() -> None:
    me = psutil.Process()
    assert (load.resident_mb([me]) or 0) > 5
    gone = psutil.Popen(["true"])
    gone.wait()
    assert load.resident_mb([gone]) is None
    assert load.resident_mb([]) is None


def test_memory_figures_say_where_it_began_and_its_slope(ask: Asker) -> None:
    made = soak(ask, JOBS, 0.05, 1, watched(ask))
    made.readings = [Reading(float(n), None, n * 10, 1, 100.0 + n) for n in range(40)]
    row = memory_figures(made)
    assert row["rss_mb"] == "100.0 to 139.0"
    assert row["rss_kb_per_request"].startswith("102 ")
