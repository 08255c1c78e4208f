"""Many requests at once, bounded, answers in the order asked."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence

from vlm_acceptance.client.http import Client
from vlm_acceptance.errors import HarnessProblem
from vlm_acceptance.exchange import Exchange, Request

MAX_THREADS = 64


def send_all(client: Client, requests: Sequence[Request], concurrency: int) -> list[Exchange]:
    """Send every request, at most `concurrency` (1 to 64) at once; the n-th exchange answers the n-th request."""
    if concurrency <= 1 or len(requests) <= 1:
        return [client.send(request) for request in requests]
    todo = deque(enumerate(requests))
    answered: dict[int, Exchange] = {}

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                number, request = todo.popleft()
                answered[number] = client.send(request)

    # daemons: Ctrl-C must not wait for an endpoint that hangs, as the threads of an executor would
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(concurrency, MAX_THREADS, len(requests)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answered) < len(requests):
        raise HarnessProblem(f"{len(requests) - len(answered)} of {len(requests)} requests broke their thread")
    return [answered[number] for number in range(len(requests))]
