"""The load against a server that answers at once: what is sent, what is kept, when it gives up."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.checks.hang import Reading
from vlm_acceptance.checks.load import Asked
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import DisconnectingClient
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.processor import ProcessorClock
from vlm_acceptance.client.recording import RecordingClient, kind_of
from vlm_acceptance.config.profile import Budget, Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.errors import DeviceProblem, EnvironmentProblem
from vlm_acceptance.core.exchange import Exchange, NoReply, Request
from vlm_acceptance.core.waiting import ProcessorReading
from vlm_acceptance.engine.memory import resident_mb
from vlm_acceptance.run.inputs import CASES, IMAGES
from vlm_acceptance.workloads import load
from vlm_acceptance.workloads.soak import KEPT, SILENT_IN_A_ROW, figures, memory_figures, soak


@pytest.fixture
def client(engine: QuickServer, recorded: list[Exchange]) -> RecordingClient:
    return RecordingClient(Client(engine.url), MODEL, Deadlines(request_s=5, cold_s=5), recorded.append, set())


def job(word: str, **params: object) -> load.Job:
    """A job that the server answers with its own words."""
    return load.Job(
        Asked(word, ((word,),)), chat_body(MODEL, f"{word} and seven more words to say as tokens", **params)
    )


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
JOBS = [job("alpha"), job("beta", **STREAM), job("gamma"), job("delta", **STREAM)]


def watched(client: RecordingClient, patience_s: float = 60) -> load.Watchdog:
    return load.Watchdog(client.http, patience_s)


def test_jobs_are_all_pictures_and_texts_mixed_and_half_streamed() -> None:
    made = load.jobs("m", load_categories(CASES, IMAGES), {("What is written on the sign?", "ocr/sign-1.png"): "X"})
    assert len(made) == 64
    assert len({one.asked.id for one in made}) == 64
    assert sum(bool(one.body.get("stream")) for one in made) == 32
    assert sum(not one.asked.is_picture for one in made) == 8
    assert next(one for one in made if one.asked.id == "ocr/sign-1").asked.golden == "X"
    few = load.mixed(made, 16)
    assert len(few) == 16
    assert sum(not one.asked.is_picture for one in few) == 4
    assert {bool(one.body.get("stream")) for one in few} == {True, False}
    assert load.jobs("m", load_categories(CASES, IMAGES), {})[0].asked.id == made[0].asked.id


def test_a_small_load_is_drawn_from_all_categories_alike() -> None:
    for seed in range(20):
        made = load.jobs("m", load_categories(CASES, IMAGES), {}, seed=seed)
        drawn = Counter(map(load.category_of, load.mixed(made, 16)))
        assert drawn.pop("text") == 4
        assert (len(drawn), sorted(drawn.values())) == (5, [2, 2, 2, 3, 3])
    assert len(load.mixed(made, 64)) == 64


def test_pictures_of_many_tiles_are_a_part_of_every_burst_in_sizes_that_vary() -> None:
    categories = load_categories(CASES, IMAGES)
    large = list(load.large_jobs("m", categories, None, ["chinese"]))
    made = load.jobs("m", categories, {}, large=large)

    assert len(large) == 28
    assert len(made) == 92
    assert len({one.asked.id for one in made}) == 92
    assert Counter(map(load.category_of, load.mixed(made, 16))) == Counter(
        dict.fromkeys(("text", "ocr", "description", "understanding", "reasoning", "chinese", "large"), 2) | {"text": 4}
    )
    assert len(load.mixed(made, 64)) == 64
    assert {one.asked.id for one in large if one.asked.report_only} == {f"large/chinese/sign-{n}" for n in (2, 4, 6, 8)}
    assert len({one.body["messages"][0]["content"][0]["image_url"]["url"] for one in large}) == 28
    chance = Chance(1)
    salts = {large[0].sent(chance).pop("cache_salt") for _ in range(3)}
    assert len(salts) == 3
    assert {**large[0].sent(chance), "cache_salt": None} == {**large[0].body, "cache_salt": None}
    plain = next(one for one in made if one.asked.id == "ocr/sign-1")
    assert plain.sent(chance) is plain.body
    streamed = next(one for one in made if one.is_new and one.body.get("stream"))
    assert streamed.sent(chance)["stream"] is True
    answers = [one.asked for one in large if one.asked.id.startswith("large/ocr")]
    assert answers[0].is_answered_by("RIVER 472") is False
    assert answers[0].is_answered_by("GARDEN 815")


def test_jobs_of_a_report_only_category_are_marked() -> None:
    made = load.jobs("m", load_categories(CASES, IMAGES), {}, ["chinese"])
    assert {load.category_of(one) for one in made if one.asked.report_only} == {"chinese"}


def test_a_burst_is_sent_at_once_and_its_replies_are_in_order(
    client: RecordingClient, engine: QuickServer, recorded: list[Exchange]
) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.1)
    began = time.monotonic()
    seen = load.burst(client, [one.body for one in JOBS * 4], 60)
    assert time.monotonic() - began < 7  # one after another they take fifteen seconds
    assert seen.hang is None
    replies = seen.replies(range(16))
    texts = [reply.text.split()[0] for reply in replies if not isinstance(reply, NoReply)]
    assert texts == ["alpha", "beta", "gamma", "delta"] * 4
    assert len(recorded) == 16


@pytest.fixture
def stuck(engine: QuickServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that answers nothing and whose figures do not change, read often."""
    engine.behaviour = Behaviour(chat_status=0)
    monkeypatch.setattr(load, "POLL_S", 0.05)
    monkeypatch.setattr(engine, "metrics_page", lambda: "vllm:num_requests_running 4\nvllm:generation_tokens_total 7\n")


@pytest.mark.usefixtures("stuck")
def test_a_hang_ends_a_burst_long_before_its_deadlines(client: RecordingClient) -> None:
    warm = {kind_of(one.body) for one in JOBS}
    # on a busy machine the waits of this process, which serves too, would put the hang off
    blind = ProcessorClock(proc=Path("/no-such-folder"))
    client = RecordingClient(client.http, MODEL, client.deadlines, lambda _: None, warm, clock=blind)
    began = time.monotonic()
    seen = load.burst(client, [one.body for one in JOBS], 0.3)
    assert time.monotonic() - began < client.deadlines.request_s
    assert seen.hang is not None
    assert seen.hang.in_flight == 4
    assert [str(reply) for reply in seen.replies([0])] == ["given up"]


def test_a_kind_that_may_compile_is_waited_for_while_it_is_in_flight(client: RecordingClient) -> None:
    cold = load.WarmupTracker(client)
    assert cold.least_s() == 0
    for job in JOBS[:2]:
        cold.sent(job.body)
    assert cold.least_s() == client.deadlines.cold_s
    cold.received(JOBS[0].body)
    assert cold.least_s() == client.deadlines.cold_s
    cold.received(JOBS[1].body)
    cold.sent(JOBS[1].body)
    assert cold.least_s() == 0
    warm = load.WarmupTracker(RecordingClient(client.http, MODEL, client.deadlines, print, {"chat"}))
    warm.sent(JOBS[0].body)
    assert warm.least_s() == 0


@pytest.mark.usefixtures("stuck")
def test_a_cold_burst_is_no_hang_until_it_must_be_warm(client: RecordingClient) -> None:
    cold = RecordingClient(client.http, MODEL, Deadlines(request_s=5, cold_s=1), lambda _: None, set())
    began = time.monotonic()
    load.burst(cold, [one.body for one in JOBS], 0.2)
    assert time.monotonic() - began > 0.9


def test_a_soak_gives_each_request_the_deadline_of_its_time(client: RecordingClient, recorded: list[Exchange]) -> None:
    seen: list[float] = []
    recording = RecordingClient(client.http, MODEL, Deadlines(request_s=4, cold_s=5), recorded.append, set())
    send, request = client.http, recording.request
    recording.request = lambda body: (seen.append((made := request(body)).deadline_s), made)[1]  # type: ignore[method-assign]
    soak(recording, JOBS, 1, 1, load.Watchdog(send, 60))
    assert seen[0] == 5
    assert seen.count(5) <= 2
    assert set(seen[len(JOBS) :]) == {4}


@pytest.mark.parametrize("broken", [RuntimeError("ours"), EnvironmentProblem("the disk is full")])
def test_an_error_of_ours_ends_the_load_and_is_raised(client: RecordingClient, broken: Exception) -> None:
    def take(_number: int, _exchange: Exchange) -> None:
        raise broken

    sent = 0

    def requests() -> Iterator[tuple[int, Request]]:
        nonlocal sent
        for sent in range(1000):
            yield sent, client.request(JOBS[0].body)

    with pytest.raises(type(broken), match=str(broken)):
        load.send_watched(client.http, requests(), 4, take, watched(client))
    assert sent < 10


@pytest.mark.parametrize("broken", [RuntimeError("ours"), EnvironmentProblem("psutil")])
def test_a_watchdog_that_breaks_ends_the_load_and_is_raised(client: RecordingClient, broken: Exception) -> None:
    def rss_mb() -> float:
        raise broken

    taken: list[int] = []
    endless = ((number, client.request(JOBS[0].body)) for number in itertools.count())
    with pytest.raises(type(broken), match=str(broken)):
        load.send_watched(client.http, endless, 2, lambda n, _: taken.append(n), load.Watchdog(client.http, 60, rss_mb))
    assert len(taken) < 1000


def test_nothing_is_sent_after_an_interrupt(client: RecordingClient, engine: QuickServer) -> None:
    def take(_number: int, _exchange: Exchange) -> None:
        raise KeyboardInterrupt

    endless = ((number, client.request(JOBS[0].body)) for number in itertools.count())
    with pytest.raises(KeyboardInterrupt):
        load.send_watched(client.http, endless, 1, take, watched(client))
    time.sleep(0.1)
    assert sum(one.path.endswith("completions") for one in engine.seen) == 1


def test_a_request_that_timed_out_is_no_sign_of_life(engine: QuickServer, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.behaviour = Behaviour(chat_status=0)
    hasty = RecordingClient(Client(engine.url), MODEL, Deadlines(request_s=0.2), lambda _: None, {"chat"})
    watchdog = watched(hasty)
    monkeypatch.setattr(load, "POLL_S", 0.05)
    load.send_watched(
        hasty.http, ((number, hasty.request(JOBS[0].body)) for number in range(4)), 2, lambda *_: None, watchdog
    )
    assert len(watchdog.readings) > 3
    assert {reading.done for reading in watchdog.readings} == {0}


def test_a_card_that_cannot_be_read_is_not_observed(client: RecordingClient) -> None:
    def broken() -> float | None:
        raise DeviceProblem("npu-smi: time-out")

    watchdog = load.Watchdog(client.http, 60, hbm_mb=broken)
    watchdog.look(0, 1)
    assert watchdog.readings[0].hbm_mb is None
    assert watchdog.readings[0].figures is not None


STREAMS = [chat_body(MODEL, " ".join("n" * 80), **STREAM) for _ in range(2)]


@pytest.mark.parametrize(
    ("pages", "is_alone", "is_sent", "found", "is_ours"),
    [
        ([0, 2, 2, 0], False, True, [], True),
        ([0, 2, 2, 2], False, True, ["load.slot_kept"], True),
        ([0, 2, 2, *[1, 2] * 20], False, True, ["load.slot_kept"], False),
        ([0, 2, 2, 3], False, True, ["load.slot_kept"], False),
        ([0, 0, 0, 0], False, True, ["load.slot_uncounted"], False),
        ([1], False, False, ["load.slot_uncounted", "load.slot_kept"], False),
        ([1], True, True, ["load.slot_uncounted"], False),
        ([0, None, None, None], False, True, ["load.slot_uncounted", "load.slot_kept"], False),
        ([None], True, False, ["load.slot_uncounted", "load.slot_kept"], False),
    ],
    ids=[
        "freed",
        "kept",
        "others come",
        "others",
        "replicas",
        "busy",
        "ours is busy",
        "no figure",
        "no figure from the start",
    ],
)
def test_clients_that_disconnect_are_distinguished_from_other_traffic(
    client: RecordingClient,
    engine: QuickServer,
    monkeypatch: pytest.MonkeyPatch,
    pages: list[int | None],
    is_alone: bool,
    is_sent: bool,
    found: list[str],
    is_ours: bool,
) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.01)
    read, lock = iter(range(1000)), threading.Lock()

    def page() -> str:
        with lock:
            figure = pages[min(next(read), len(pages) - 1)]
        return "no metrics at all" if figure is None else f"vllm:num_requests_running {figure}\n"

    busy_s = 0.5
    monkeypatch.setattr(engine, "metrics_page", page)
    seen = load.disconnect(client, STREAMS, 3, busy_s, is_alone)
    assert bool(seen.exchanges) is is_sent
    assert [one.check for one in seen.found(busy_s)] == found
    assert seen.is_ours is is_ours


def test_a_client_disconnects_in_mid_stream_and_is_called_right_before(engine: QuickServer) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.1)
    called: list[int] = []
    client = DisconnectingClient(Client(engine.url), 3, lambda: called.append(1))
    body = chat_body(MODEL, "one two three four five six seven eight nine ten", **STREAM)
    exchange = client.send(RecordingClient(client, MODEL, Deadlines(), lambda _: None, set()).request(body))
    assert exchange.error is None
    assert 3 <= len(exchange.frames) <= 5
    assert called == [1]


def test_a_soak_sends_round_after_round_and_keeps_figures(client: RecordingClient, recorded: list[Exchange]) -> None:
    made = soak(client, JOBS, 0.6, 4, watched(client))
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


def test_a_soak_keeps_faults_and_gives_up_when_nothing_is_answered(
    client: RecordingClient, engine: QuickServer
) -> None:
    wrong = [*JOBS[1:], load.Job(replace(JOBS[0].asked, parts=(("omega",),)), JOBS[0].body)]
    made = soak(client, wrong, 0.3, 2, watched(client))
    assert {fault.check for fault in made.faults} == {"load.answer"}
    assert {fault.exchange.id for fault in made.faults[:KEPT] if fault.exchange} != set()
    assert all(fault.exchange is None for fault in made.faults[KEPT:])
    engine.behaviour = Behaviour(chat_status=500)
    made = soak(client, JOBS, 30, 4, watched(client))
    assert "in a row got no answer" in made.given_up
    assert SILENT_IN_A_ROW <= len(made.served) < 2 * SILENT_IN_A_ROW


@pytest.mark.parametrize("waited", [0.9, 0.1], ids=["busy", "idle"])
def test_a_soak_on_a_busy_machine_gives_up_because_of_the_machine(
    client: RecordingClient, engine: QuickServer, waited: float
) -> None:
    def readings(one: Exchange) -> tuple[ProcessorReading, ...]:
        starved_ns = round(waited * (one.finished_ns - one.started_ns))
        return ProcessorReading(one.started_ns, engine_ns=0), ProcessorReading(one.finished_ns, engine_ns=starved_ns)

    client.http = client.http.watched_by(readings)
    client.deadlines = Deadlines(request_s=0.05, cold_s=0.05)
    engine.behaviour = Behaviour(chat_status=0)
    made = soak(client, JOBS, 30, 32, watched(client))
    assert made.given_up != ""
    assert made.given_up_busy is (waited > 0.5)
    assert (made.starved, len(made.faults)) == ((len(made.served), 0) if waited > 0.5 else (0, len(made.served)))


def test_a_soak_without_a_request_is_an_environment_problem(client: RecordingClient) -> None:
    with pytest.raises(EnvironmentProblem, match="over before one request"):
        soak(client, JOBS, 0.0, 1, watched(client))


def test_a_soak_counts_a_degenerate_answer_and_no_report_only_one(client: RecordingClient) -> None:
    looping = load.Job(Asked("loop", (("la",),)), chat_body(MODEL, "la " * 40))
    report_only = load.Job(replace(JOBS[0].asked, parts=(("omega",),), report_only=True), JOBS[0].body)
    made = soak(client, [looping, report_only, JOBS[2]], 0.3, 1, watched(client))
    assert {(fault.check.partition(".")[0], fault.where) for fault in made.faults} == {("degeneracy", "loop")}
    assert made.answered < len(made.served)


def test_memory_is_read_of_living_processes() -> None:
    me = psutil.Process()
    assert (resident_mb([me]) or 0) > 5
    gone = psutil.Popen(["true"])
    gone.wait()
    assert resident_mb([gone]) is None
    assert resident_mb([]) is None


def test_memory_figures_have_first_and_last_value_and_slope(client: RecordingClient) -> None:
    made = soak(client, JOBS, 0.3, 1, watched(client))
    made.readings = [Reading(float(n), None, n * 10, 1, 100.0 + n) for n in range(40)]
    row = memory_figures(made)
    assert row["rss_mb"] == "100.0 to 139.0"
    assert row["rss_kb_per_request"].startswith("102 ")
