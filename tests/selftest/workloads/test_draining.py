"""Requests in flight while a server ends, and later ones."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer, Seen

from vlm_acceptance.checks import draining as checks
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.workloads import draining


class Counting(QuickServer):
    """Takes a minute for a long answer, and counts its connections as an engine counts requests."""

    def answer(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        is_long = bool(seen.body) and json.loads(seen.body)["max_tokens"] > draining.LATE_TOKENS
        self.behaviour = Behaviour(token_delay_s=60 if is_long else 0)
        return super().answer(seen)

    def metrics_page(self) -> str:
        return f"vllm:num_requests_running {len(self.connections) - 1}\n"


@pytest.mark.parametrize("ends", [True, False])
def test_requests_are_in_flight_when_the_server_ends(ends: bool) -> None:
    recorded: list[Exchange] = []
    with ExitStack() as stack:
        server = stack.enter_context(Counting())
        client = RecordingClient(Client(server.url), MODEL, Deadlines(request_s=90, cold_s=90), recorded.append, set())
        seen = draining.drain(client, stack.pop_all().close if ends else server.hurry, 64, 30, Chance(1))
    assert (len(seen.running), len(seen.in_flight), len(seen.late)) == (draining.IN_FLIGHT, draining.IN_FLIGHT, 4)
    assert {one.request.body["max_tokens"] for one in seen.running} == {32}
    assert sum(one.request.stream for one in seen.running) == draining.IN_FLIGHT // 2
    assert all(one.started_ns >= seen.stopped_ns for one in seen.late)
    assert len([one for one in recorded if one.request.method == "POST"]) == draining.IN_FLIGHT + 4
    # the stand-in repeats the question: fewer tokens than were demanded
    assert len(checks.half_answers(seen)) == (0 if ends else draining.IN_FLIGHT + 4)


def test_clients_leave_a_server_that_waits_for_them() -> None:
    with Counting() as server:
        client = RecordingClient(Client(server.url), MODEL, Deadlines(request_s=90, cold_s=90), lambda _: None, set())
        seen = draining.drain(client, lambda: time.sleep(0.1), 64, 1.5, Chance(1))
    assert seen.left_ns is not None
    [found] = checks.left_open(seen)
    # the short requests afterwards are answered
    assert found.observed == "8 of 12 requests still open after 2 s"
    assert not any(one.is_late for one in seen.running)
