"""A client that goes away in mid-stream, as a browser tab that is closed does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from vlm_acceptance.client.http import Client, Observed
from vlm_acceptance.core.exchange import Request


class DisconnectingClient(Client):
    """Closes the connection of every stream once `events` events have come; the exchange holds those, no error.

    `on_leaving` is called right before, while the stream is still open.
    """

    def __init__(self, base_url: str, api_key: str | None, events: int, on_leaving: Callable[[], object]) -> None:
        super().__init__(base_url, api_key)
        self._events = events
        self._on_leaving = on_leaving

    def _exchange(
        self, request: Request, data: bytes | memoryview | None, headers: dict[str, str], seen: Observed
    ) -> None:
        def stays(_piece: bytes) -> bool:
            if len(seen.frames) < self._events:
                return True
            self._on_leaving()
            return False

        read = seen.read
        # what is read is noted before the next piece is waited for
        seen.read = lambda pieces: read(itertools.takewhile(stays, pieces))  # type: ignore[method-assign]
        super()._exchange(request, data, headers, seen)
