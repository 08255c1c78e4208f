"""Clients that leave: their connections are closed, and what `/metrics` counts is noted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.workloads import leaving
from vlm_acceptance.workloads.leaving import Leave, judged_of

WITHIN_S = 2.0
FEW_S = 20


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer(Behaviour(token_delay_s=1.0)) as server:
        yield server


@pytest.fixture
def client(engine: QuickServer, recorded: list[Exchange]) -> RecordingClient:
    return RecordingClient(Client(engine.url), MODEL, Deadlines(request_s=60, cold_s=60), recorded.append, set())


def page(running: float | None, waiting: float = 0) -> str:
    if running is None:
        return "no metrics at all"
    return f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n"


def test_clients_leave_as_soon_as_it_is_time(client: RecordingClient, recorded: list[Exchange]) -> None:
    bodies = leaving.endless_bodies(MODEL, 3, Chance(1), 10, is_streamed=True)
    began = time.monotonic()
    made = leaving.leave(client, bodies, WITHIN_S, lambda seen, past_s: past_s > 0.1, is_alone=True)
    assert time.monotonic() - began < FEW_S
    assert (made.before, made.answered, len(made.exchanges)) == (0, [], 3)
    assert all(exchange.error is not None and exchange.error.kind != "timeout" for exchange in made.exchanges)
    assert made.is_freed(WITHIN_S)
    assert [one for one in recorded if one.request.path != "/metrics"] == list(made.exchanges)


def test_a_client_that_is_answered_before_is_noted(client: RecordingClient, engine: QuickServer) -> None:
    engine.behaviour = Behaviour()
    made = leaving.leave(client, [chat_body(MODEL, "one two")], WITHIN_S, lambda *_: True, is_alone=True)
    assert len(made.answered) == 1


def test_nothing_is_sent_while_others_are_served(
    client: RecordingClient, engine: QuickServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seen in (page(2), page(0, waiting=1), page(None)):
        monkeypatch.setattr(engine, "metrics_page", lambda seen=seen: seen)
        made = leaving.leave(client, [chat_body(MODEL, "one")], 0.2, lambda *_: True, is_alone=False)
        assert made.exchanges == ()
        assert judged_of([made], 0.2, is_alone=False) is None
    assert engine.chats == 0


def test_a_kept_slot_is_a_finding_if_it_can_only_be_ours(client: RecordingClient) -> None:
    sent = tuple(client.all([chat_body(MODEL, "")], 1))
    kept = Leave(0, 1, sent, ((0.1, 1), (2.1, 1)))
    foreign = Leave(0, 1, sent, ((0.1, 1), (2.1, 5)))
    freed = Leave(0, 1, sent, ((0.1, 0),))
    assert [found.check for found in kept.kept(2)] == ["load.slot_kept"]
    assert "num_requests_waiting back to 0 within 2 s" in kept.kept(2)[0].expected
    assert judged_of([foreign, kept, foreign], 2, is_alone=False) is kept
    assert judged_of([foreign, foreign], 2, is_alone=False) is None
    assert judged_of([foreign], 2, is_alone=True) is foreign
    assert judged_of([kept, freed], 2, is_alone=False) is freed
    assert Leave(0, 1, sent, ((0.1, float("nan")),)).kept(2) != []


def test_a_client_may_leave_at_once(client: RecordingClient) -> None:
    exchange = leaving.leave_at_once(client, chat_body(MODEL, "one two three four five"))
    assert exchange.error is not None
    assert exchange.elapsed_s < FEW_S


def test_streams_with_pictures_are_left_after_their_first_events(client: RecordingClient, engine: QuickServer) -> None:
    engine.behaviour = Behaviour(token_delay_s=0.05)
    words = " ".join(["word"] * 100)
    [exchange] = leaving.leave_in_mid_stream(client, [chat_body(MODEL, words)])
    assert exchange.error is None
    assert leaving.FIRST_EVENTS <= len(exchange.frames) < 50


@pytest.mark.parametrize(("context", "words"), [(None, 3000), (32768, 3000), (4096, 948), (1024, 0)])
def test_a_long_prompt_fits_with_its_answer(context: int | None, words: int) -> None:
    assert leaving.words_for(context) == words


def test_no_two_prompts_begin_alike() -> None:
    bodies = [*leaving.endless_bodies("m", 3, Chance(1), 5), *leaving.endless_bodies("m", 3, Chance(2), 5)]
    assert len({body["messages"][0]["content"][:8] for body in bodies}) == 6


@pytest.mark.parametrize(
    ("args", "clients"),
    [
        ([], [64, 304]),
        (["--dtype", "bfloat16"], [64, 304]),
        (["--max-num-seqs", 16], [64]),
        (["--max-num-seqs=256"], [304]),
        (["--max_num_seqs", "100", "--dtype", "bfloat16"], [148]),
        (["--max-num-seqs", 8, "--max-num-seqs", 300], [348]),
        (["--max-num-seqs", 4000], [512]),
        (["--max-num-seqs", "many"], [64, 304]),
    ],
)
def test_so_many_clients_are_sent_that_some_must_wait(args: list[object], clients: list[int]) -> None:
    assert leaving.crowds(args) == clients  # type: ignore[arg-type]


@pytest.mark.parametrize(("waiting", "queued"), [(3, 3.0), (0, 0.0), (None, None)])
def test_it_is_known_how_many_waited_when_they_left(
    client: RecordingClient, engine: QuickServer, monkeypatch: pytest.MonkeyPatch, waiting: int | None, queued: float
) -> None:
    def counted() -> str:
        first, _, second = page(2 if engine.chats else 0, waiting or 0).partition("vllm:num_requests_waiting")
        return first if waiting is None else f"{first}vllm:num_requests_waiting{second}"

    monkeypatch.setattr(engine, "metrics_page", counted)
    bodies = leaving.endless_bodies(MODEL, 2, Chance(1))
    made = leaving.leave(client, bodies, 1, lambda *_: True, is_alone=True)
    assert made.queued == queued
    assert made.queued_in_words == f"vllm:num_requests_waiting {'not reported' if queued is None else waiting}"
    assert made.uncounted == []


def test_requests_that_are_not_counted_are_a_finding() -> None:
    [found] = Leave(0, 0).uncounted
    assert (found.check, found.observed) == ("load.slot_uncounted", "0")
    counted = "vllm:num_requests_running and vllm:num_requests_waiting above 0"
    assert found.expected == f"{counted} while clients wait for their answers"
