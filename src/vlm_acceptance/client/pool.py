"""Many requests at once, bounded, answers in the order asked."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from vlm_acceptance.client.http import Client
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.exchange import Exchange, Request

MAX_THREADS = 64


Given = TypeVar("Given")
Made = TypeVar("Made")


def send_all(client: Client, requests: Sequence[Request], concurrency: int) -> list[Exchange]:
    """Send every request, at most `concurrency` (1 to 64) at once; the n-th exchange answers the n-th request."""
    return map_all(client.send, requests, concurrency)


def map_all(work: Callable[[Given], Made], given: Sequence[Given], concurrency: int) -> list[Made]:
    """`work` on everything given, at most `concurrency` (1 to 64) at once, results in order."""
    if concurrency <= 1 or len(given) <= 1:
        return [work(one) for one in given]
    todo = deque(enumerate(given))
    made: dict[int, Made] = {}

    def drain() -> None:
        with contextlib.suppress(IndexError):
            while True:
                number, one = todo.popleft()
                made[number] = work(one)

    # daemons: Ctrl-C must not wait for an endpoint that hangs, as the threads of an executor would
    threads = [threading.Thread(target=drain, daemon=True) for _ in range(min(concurrency, MAX_THREADS, len(given)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(made) < len(given):
        raise HarnessProblem(f"{len(given) - len(made)} of {len(given)} requests broke their thread")
    return [made[number] for number in range(len(given))]
