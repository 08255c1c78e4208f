"""Requests that ask the engine to keep them apart from others, or to serve them before others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vlm_acceptance.checks.scheduling import Prompted, cached_by_usage
from vlm_acceptance.checks.server_info import figure_of, figures_in
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import LeavingClient
from vlm_acceptance.client.pool import Pool
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.workloads.leaving import MOST_CLIENTS, endless_bodies, running_and_waiting
from vlm_acceptance.workloads.load import STREAMED
from vlm_acceptance.workloads.parameters import REPEATED, SHORT

QUERIES, HITS = "vllm:prefix_cache_queries", "vllm:prefix_cache_hits"
# the engine may count a request some moments after its answer
COUNTED_WITHIN_S, TICK_S = 2.0, 0.02
# the requests of a queue wait for each other
PATIENCE = 4
# lower is earlier; other requests have 0
FIRST, LAST = -9, 9
PRIORITY: Mapping[str, Any] = {"priority": LAST}
ANSWER_TOKENS = 4
# beside those that hold the slots, two requests wait, and the pool may send one more
MOST_SLOTS = MOST_CLIENTS - 3


def salted_body(model: str, start: str, salt: str, way: str) -> dict[str, Any]:
    """A request about a prompt that is longer than a block of the cache, with this salt."""
    streamed = STREAMED if way == "streamed" else {}
    return {**chat_body(model, f"{start} {REPEATED}", max_tokens=2), **streamed, "cache_salt": salt}


def prompted(client: RecordingClient, body: dict[str, Any]) -> Prompted:
    """Send a request, and read what of its prompt came from the cache: by its usage, and by `/metrics`."""
    return client.observed("prompted", Prompted, lambda: _prompted(client, body), [body])


def _prompted(client: RecordingClient, body: dict[str, Any]) -> Prompted:
    before = _cache_counts(client)
    exchange = client.body(body)
    reply = exchange.reply
    tokens = None if isinstance(reply, NoReply) or reply.usage is None else reply.usage.prompt
    counted = None
    if before is not None and tokens is not None:
        until_s = time.monotonic() + COUNTED_WITHIN_S
        while counted is None and time.monotonic() < until_s:
            after = _cache_counts(client)
            if after is None:
                break
            queries, hits = (late - early for early, late in zip(before, after, strict=True))
            if queries > tokens:
                break  # another client's request was counted, too
            if queries == tokens:
                counted = int(hits)
            else:
                time.sleep(TICK_S)
    return Prompted(exchange, cached_by_usage(exchange), counted)


def _cache_counts(client: RecordingClient) -> tuple[float, float] | None:
    figures = figures_in(client.get("/metrics"))
    queries, hits = figure_of(figures, QUERIES), figure_of(figures, HITS)
    return None if queries is None or hits is None else (queries, hits)


@dataclass(frozen=True, slots=True)
class Queued:
    """Two requests that waited for one slot: `earlier` came first, with the last priority, `urgent` with the first.

    `why_not` says in words why they did not wait so; then nothing can be judged.
    """

    earlier: Exchange | None = None
    urgent: Exchange | None = None
    why_not: str = ""


class _Queue:
    """Takes all slots with answers that take long, lets two requests wait for a slot, and frees one."""

    def __init__(self, client: RecordingClient, slots: int, within_s: float, chance: Chance) -> None:
        self._client, self._slots, self._within_s = client, slots, within_s
        self._one, self._rest = LeavingClient(client.http), LeavingClient(client.http)
        asked = [chat_body(client.model_id, SHORT, max_tokens=ANSWER_TOKENS, priority=one) for one in (LAST, FIRST)]
        self.bodies = [*endless_bodies(client.model_id, slots, chance), *asked]
        self.received: dict[int, Exchange] = {}
        self.why_not = ""

    def run(self) -> Queued:
        pool = Pool(self._send, self._numbers(), len(self.bodies) + 1, TICK_S, MOST_CLIENTS)
        freed_s = None
        for pair in pool:
            if pair is not None:
                self.received[pair[0]] = pair[1]
            if 0 in self.received and freed_s is None:
                freed_s = time.monotonic()
            if freed_s is not None and not self.why_not and time.monotonic() - freed_s > self._within_s:
                self.why_not = self._kept()
                freed_s = time.monotonic()
            if self.why_not or {self._slots, self._slots + 1} <= self.received.keys():
                self._one.leave()
                self._rest.leave()
        for number in sorted(self.received):
            self._client.keep(self.received[number], self.bodies[number])
        return Queued(self.received.get(self._slots), self.received.get(self._slots + 1), self.why_not)

    def _send(self, number: int) -> Exchange:
        http = self._one if not number else self._rest if number < self._slots else self._client.http
        request = self._client.request(self.bodies[number])
        return http.send(replace(request, deadline_s=PATIENCE * self._within_s))

    def _kept(self) -> str:
        """Why nobody was served after a client left; '' where its slot was freed."""
        is_kept = running_and_waiting(self._client) == (self._slots, 2)
        return f"the slot of a client that left was not freed within {self._within_s:g} s" if is_kept else ""

    def _numbers(self) -> Iterator[int]:
        """The numbers of the requests, each as soon as it is its turn; at the end one slot is freed."""
        yield from range(self._slots)
        for number, running, waiting in ((0, self._slots, 0), (1, self._slots, 1), (None, self._slots, 2)):
            if self._becomes(running, waiting):
                if number is None:
                    self._one.leave()
                else:
                    yield self._slots + number
            else:
                return

    def _becomes(self, running: int, waiting: int) -> bool:
        until_s = time.monotonic() + self._within_s
        seen: tuple[float | None, float | None] = (None, None)
        while time.monotonic() < until_s:
            seen = running_and_waiting(self._client)
            if seen == (running, waiting):
                return True
            time.sleep(TICK_S)
        shown = " and ".join("unknown" if one is None else f"{one:g}" for one in seen)
        self.why_not = f"{running} requests should run and {waiting} wait, but /metrics counts {shown}"
        return False


def queue_for_one_slot(client: RecordingClient, slots: int, within_s: float, chance: Chance) -> Queued:
    """A request of the last priority waits for a slot, and then one of the first; one slot is freed for them."""
    return client.observed("queued", Queued, lambda: _Queue(client, slots, within_s, chance).run())
