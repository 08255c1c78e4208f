"""Many requests at once: the only place of the suite that sends from more than one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from vlm_acceptance.client.http import Client
from vlm_acceptance.core.errors import HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.exchange import Exchange, Request

MAX_CONCURRENCY = 64
TICK_S = 1.0

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class Pool(Generic[Sent, Received]):
    """Calls `send` on everything in `given`, in order, with at most `concurrency` (1 to `most`) calls in flight.

    Iterating yields `(sent, received)` pairs, in flight until the next iteration, and None after `tick_s` seconds
    without one. An error in `send` stops the pool and is raised at the end: ours as it is, others as HarnessProblem.
    """

    def __init__(
        self,
        send: Callable[[Sent], Received],
        given: Iterable[Sent],
        concurrency: int,
        tick_s: float = TICK_S,
        most: int = MAX_CONCURRENCY,
    ) -> None:
        self.in_flight = 0
        self._send = send
        self._given = iter(given)
        self._concurrency = max(1, min(concurrency, most))
        self._tick_s = tick_s
        self._threads = 0
        self._is_stopped = False
        self._broken: VlmAcceptanceError | None = None
        self._to_send: queue.SimpleQueue[tuple[Sent] | None] = queue.SimpleQueue()
        self._received: queue.SimpleQueue[tuple[Sent, Received] | VlmAcceptanceError] = queue.SimpleQueue()

    def stop(self) -> None:
        """Send nothing more; what is in flight is still yielded."""
        self._is_stopped = True

    def __iter__(self) -> Iterator[tuple[Sent, Received] | None]:
        try:
            while self._keep_sending():
                try:
                    received = self._received.get(timeout=self._tick_s)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(received, VlmAcceptanceError):
                    self._broken = self._broken or received
                    self.stop()
                else:
                    yield received
                self.in_flight -= 1
        finally:
            for _ in range(self._threads):
                self._to_send.put(None)
        if self._broken is not None:
            raise self._broken

    def _keep_sending(self) -> bool:
        """Send as much as may be in flight; False when nothing is in flight any more."""
        while not self._is_stopped and self.in_flight < self._concurrency:
            try:
                self._to_send.put((next(self._given),))
            except StopIteration:
                self.stop()
                break
            self.in_flight += 1
            if self._threads < self.in_flight:
                # a daemon, as the threads of an executor are not: Ctrl-C must not wait for a server that hangs
                threading.Thread(target=self._work, name="send", daemon=True).start()
                self._threads += 1
        return self.in_flight > 0

    def _work(self) -> None:
        while (following := self._to_send.get()) is not None:
            (sent,) = following
            try:
                self._received.put((sent, self._send(sent)))
            except VlmAcceptanceError as known:
                self._received.put(known)
            except BaseException as broken:  # noqa: BLE001  (raised in the caller's thread)
                problem = HarnessProblem(f"sending {sent!r:.100} broke: {type(broken).__name__}: {broken}")
                problem.__cause__ = broken
                self._received.put(problem)


def map_all(send: Callable[[Sent], Received], given: Sequence[Sent], concurrency: int) -> list[Received]:
    """`send` on everything given, at most `concurrency` (1 to 64) at once; the n-th result is of the n-th given."""
    pool = Pool(lambda number: send(given[number]), range(len(given)), concurrency)
    received = dict(pair for pair in pool if pair is not None)
    return [received[number] for number in range(len(given))]


def send_all(client: Client, requests: Sequence[Request], concurrency: int) -> list[Exchange]:
    """Send every request, at most `concurrency` (1 to 64) at once; the n-th exchange answers the n-th request."""
    return map_all(client.send, requests, concurrency)
