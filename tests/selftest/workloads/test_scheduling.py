"""What comes from the cache of prompts, and two requests that wait for one slot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer, Seen

from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.workloads import scheduling


@pytest.fixture
def client(engine: QuickServer, recorded: list[Exchange]) -> RecordingClient:
    return RecordingClient(Client(engine.url), MODEL, Deadlines(request_s=20, cold_s=20), recorded.append, set())


def counts(queries: float, hits: float) -> str:
    return f"vllm:prefix_cache_queries_total {queries}\nvllm:prefix_cache_hits_total {hits}\n"


@pytest.mark.parametrize(
    ("page", "counted"),
    [
        (lambda engine: counts(engine.prompt_tokens, 128 * engine.chats), 128),
        # another client of five tokens was counted, too
        (lambda engine: counts(engine.prompt_tokens + 5 * engine.chats, 128 * engine.chats), None),
        (lambda engine: counts(0, 0), None),
        (lambda engine: "no metrics at all", None),
    ],
)
def test_hits_are_read_only_if_no_other_request_was_counted(
    client: RecordingClient,
    engine: QuickServer,
    monkeypatch: pytest.MonkeyPatch,
    page: Callable[[QuickServer], str],
    counted: int | None,
) -> None:
    monkeypatch.setattr(scheduling, "COUNTED_WITHIN_S", 0.2)
    monkeypatch.setattr(engine, "metrics_page", lambda: page(engine))
    for way in ("plain", "streamed"):
        sent = scheduling.prompted(client, scheduling.salted_body(MODEL, "a1", "salt", way))
        assert (sent.by_usage, sent.counted) == (None, counted)
        assert sent.exchange.reply.usage is not None  # type: ignore[union-attr]


class Slots(QuickServer):
    """Takes two seconds for an answer, and counts its connections as an engine of so many slots counts requests."""

    slots = 2

    def answer(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        self.behaviour = Behaviour(token_delay_s=0 if seen.path == "/metrics" else 2)
        return super().answer(seen)

    def metrics_page(self) -> str:
        clients = len(self.connections) - 1
        running = min(clients, self.slots)
        return f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {clients - running}\n"


def queued(server: QuickServer, recorded: list[Exchange], within_s: float) -> scheduling.Queued:
    client = RecordingClient(Client(server.url), MODEL, Deadlines(request_s=20, cold_s=20), recorded.append, set())
    return scheduling.queue_for_one_slot(client, 2, within_s, Chance(1))


def test_two_requests_wait_for_a_slot_and_one_is_freed(recorded: list[Exchange]) -> None:
    began, threads = time.monotonic(), threading.active_count()
    with Slots() as server:
        made = queued(server, recorded, 5)
    assert time.monotonic() - began < 15
    assert made.why_not == ""
    assert made.earlier is not None
    assert made.urgent is not None
    assert (made.earlier.request.body["priority"], made.urgent.request.body["priority"]) == (9, -9)
    assert made.earlier.started_ns < made.urgent.started_ns
    assert threading.active_count() < threads + 20
    assert sum(one.request.method == "POST" for one in recorded) == 4


def test_a_queue_that_is_not_as_stated_is_not_judged(recorded: list[Exchange]) -> None:
    with Slots() as server:
        server.slots = 1
        made = queued(server, recorded, 0.5)
    assert made.why_not == "2 requests should run and 0 wait, but /metrics counts 1 and 1"
    assert (made.earlier, made.urgent) == (None, None)


class KeptSlots(Slots):
    """Does not see that a client leaves, as behind a gateway that reads the whole answer."""

    def metrics_page(self) -> str:
        self.most = max(getattr(self, "most", 0), len(self.connections) - 1)
        running = min(self.most, self.slots)
        return f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {self.most - running}\n"


def test_a_slot_that_is_not_freed_is_not_judged(recorded: list[Exchange]) -> None:
    with KeptSlots() as server:
        made = queued(server, recorded, 0.5)
    assert made.why_not == "the slot of a client that left was not freed within 0.5 s"
