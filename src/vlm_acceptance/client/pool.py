"""Many requests at once, bounded, answers in the order asked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from vlm_acceptance.client.http import Client
from vlm_acceptance.exchange import Exchange, Request

MAX_THREADS = 64


def send_all(client: Client, requests: Sequence[Request], concurrency: int) -> list[Exchange]:
    """Send every request, at most `concurrency` (1 to 64) at once; the n-th exchange answers the n-th request."""
    if concurrency <= 1 or len(requests) <= 1:
        return [client.send(request) for request in requests]
    with ThreadPoolExecutor(min(concurrency, MAX_THREADS)) as threads:
        return list(threads.map(client.send, requests))
