"""Clients that leave at every stage of a request, and requests afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.checks.hang import RUNNING, WAITING, counted_while_running, freed, only_ours
from vlm_acceptance.checks.server_info import figure_of, figures_in
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import DisconnectingClient, LeavingClient
from vlm_acceptance.client.pool import MAX_CONCURRENCY, Pool, send_all
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.engine_args import stated_slots
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NS, Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads.load import STREAMED, until

LEAVERS = 4
TICK_S = 0.01
# a kept slot of so long an answer is seen afterwards
SETTLE_S = 0.5
LONG_TOKENS = 2000
# a prompt of so many words is read for some time
LONG_WORDS = 3000
# tokens of a word, at most, and of what stands around the words
WORD_TOKENS, AROUND = 2, 200
COUNTED = f"{RUNNING} and {WAITING}"
# the usual --max-num-seqs of a vLLM server that is given none; more clients than slots; the most at once
USUAL_SLOTS, QUEUED, MOST_CLIENTS = 256, 48, 512
ENDLESS: Mapping[str, Any] = {"ignore_eos": True, "max_tokens": LONG_TOKENS}
# enough events that the engine has the request, and the answer has begun
FIRST_EVENTS = 3


@dataclass(frozen=True, slots=True)
class Leave:
    """Clients that left: requests in the engine before, at most while they waited, and afterwards by seconds since.

    The figures are None where `/metrics` has none. Without exchanges nothing was sent: other clients are served.
    `queued` is how many waited for a slot when they left.
    """

    before: float | None
    most: float | None = None
    exchanges: tuple[Exchange, ...] = ()
    after: tuple[tuple[float, float | None], ...] = ()
    queued: float | None = None

    @property
    def answered(self) -> list[Exchange]:
        """Those whose answer was complete before they left."""
        return [exchange for exchange in self.exchanges if exchange.error is None]

    def kept(self, within_s: float) -> list[Finding]:
        """Slots that are not free within so many seconds."""
        return freed(self.before or 0.0, self.after, within_s, COUNTED)

    @property
    def uncounted(self) -> list[Finding]:
        """Requests that `/metrics` did not count: otherwise a figure that falls again would show nothing."""
        return counted_while_running(self.before or 0.0, [self.most], "clients wait for their answers", COUNTED)

    @property
    def queued_in_words(self) -> str:
        """Of the moment when the clients left, as in `/metrics`."""
        return f"{WAITING} {'not reported' if self.queued is None else f'{self.queued:g}'}"

    def is_freed(self, within_s: float) -> bool:
        """Whether requests were sent, and their slots are free within so many seconds."""
        return bool(self.exchanges) and not self.kept(within_s)

    @property
    def is_ours(self) -> bool:
        """Whether the figures can come from these clients alone."""
        return self.before == 0 and bool(self.exchanges) and only_ours(self.after, len(self.exchanges))


def judged_of(tries: Sequence[Leave], within_s: float, *, is_alone: bool) -> Leave | None:
    """The try to judge by: the last if its slots are free, else one whose figures are ours; None without any."""
    if tries[-1].is_freed(within_s):
        return tries[-1]
    return next((tried for tried in tries if tried.exchanges and (is_alone or tried.is_ours)), None)


def in_engine(client: RecordingClient) -> float | None:
    """Running and waiting requests by `/metrics`; None where it does not report them."""
    running, waiting = running_and_waiting(client)
    return None if running is None else running + (waiting or 0.0)


def running_and_waiting(client: RecordingClient) -> tuple[float | None, float | None]:
    """Running requests, and those that wait for a slot, by `/metrics`; None where it does not report them."""
    figures = figures_in(client.get("/metrics")) or {}
    return figure_of(figures, RUNNING), figure_of(figures, WAITING)


def crowds(engine_args: Sequence[str]) -> list[int]:
    """How many clients to send at once so that some wait for a slot, by the `--max-num-seqs` of an engine.

    Where it is not given, the first number may be too few for that, and the second is tried.
    """
    slots = stated_slots(engine_args)
    needed = min(max(MAX_CONCURRENCY, (slots or USUAL_SLOTS) + QUEUED), MOST_CLIENTS)
    return [needed] if slots else [MAX_CONCURRENCY, needed]


def endless_bodies(
    model: str, count: int, chance: Chance, words: int = 0, *, is_streamed: bool = False
) -> list[dict[str, Any]]:
    """Requests whose answers take long; with `words`, their prompts do, too, and no cache has read them."""
    text = "word " * words
    extra: dict[str, Any] = {**ENDLESS, **(STREAMED if is_streamed else {})}
    return [
        chat_body(model, f"{chance.hex(8)} {text}Count from {number} to 500.", **extra)
        for number in range(1, count + 1)
    ]


def words_for(context: int | None) -> int:
    """Words of a long prompt in a context of so many tokens."""
    return LONG_WORDS if context is None else min(LONG_WORDS, max(0, context - LONG_TOKENS - AROUND) // WORD_TOKENS)


def leave(
    client: RecordingClient,
    bodies: Sequence[dict[str, Any]],
    within_s: float,
    is_time: Callable[[float, float | None], bool],
    *,
    is_alone: bool,
) -> Leave:
    """Send the requests once the engine is idle, and close every connection as soon as it `is_time`.

    `is_time` gets the requests that are in the engine beside those before, and the seconds since they were sent.
    """
    return client.observed("leave", Leave, lambda: _leave(client, bodies, within_s, is_time, is_alone), bodies)


def _leave(
    client: RecordingClient,
    bodies: Sequence[dict[str, Any]],
    within_s: float,
    is_time: Callable[[float, float | None], bool],
    is_alone: bool,
) -> Leave:
    before = until(client, lambda seen: seen == 0, within_s, in_engine)[-1][1]
    if before is None or (before > 0 and not is_alone):
        return Leave(before)
    http, received, began = LeavingClient(client.http), dict[int, Exchange](), time.monotonic()
    requests, most, queued, has_left = [client.request(body) for body in bodies], 0.0, None, False
    for pair in Pool(lambda number: http.send(requests[number]), range(len(bodies)), len(bodies), TICK_S, MOST_CLIENTS):
        if pair is not None:
            received[pair[0]] = pair[1]
            continue
        running, waiting = running_and_waiting(client)
        seen, past_s = (running or 0.0) + (waiting or 0.0), time.monotonic() - began
        most, queued = max(most, seen), queued if has_left else waiting
        if past_s > within_s or is_time(seen - before, past_s):
            http.leave()
            has_left = True
    exchanges = [received[number] for number in sorted(received)]
    for exchange, body in zip(exchanges, bodies, strict=True):
        client.keep(exchange, body)
    if most - before < len(bodies):
        time.sleep(SETTLE_S)  # the engine may count them only now
    late_s = (time.monotonic_ns() - max(exchange.finished_ns for exchange in exchanges)) / NS
    after = until(client, lambda seen: seen is not None and seen <= before, within_s, in_engine)
    return Leave(before, most, tuple(exchanges), tuple((late_s + at_s, seen) for at_s, seen in after), queued)


def leave_in_mid_stream(client: RecordingClient, bodies: Sequence[dict[str, Any]]) -> list[Exchange]:
    """Start streams and close each one after its first events: the engine has its picture then."""
    sent = [{**body, **ENDLESS, **STREAMED} for body in bodies]

    def left() -> list[Exchange]:
        http = DisconnectingClient(client.http, FIRST_EVENTS, lambda: None)
        exchanges = send_all(http, [client.request(body) for body in sent], len(sent))
        for exchange, body in zip(exchanges, bodies, strict=True):
            client.keep(exchange, body)
        return exchanges

    return client.observed("left", list[Exchange], left, sent)


def leave_at_once(client: RecordingClient, body: dict[str, Any]) -> Exchange:
    """Send one request and close its connection some milliseconds later: its picture may still be on its way."""

    def left() -> Exchange:
        http = LeavingClient(client.http)
        http.leave()
        exchange = http.send(client.request(body))
        client.keep(exchange, body)
        return exchange

    return client.observed("left", Exchange, left, [body])
