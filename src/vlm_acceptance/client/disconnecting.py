"""A client that disconnects in mid-stream, as a browser tab that is closed does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vlm_acceptance.client.http import Client, Observed
from vlm_acceptance.core.exchange import Request


class DisconnectingClient(Client):
    """Sends as `like` does, but closes every stream without an error after `events` events.

    It calls `before_leaving` right before that.
    """

    def __init__(self, like: Client, events: int, before_leaving: Callable[[], object]) -> None:
        super().__init__(like.base_url, like.api_key, like.sizes, like.gateway)
        self._events = events
        self._before_leaving = before_leaving

    def _observed(self, request: Request) -> Observed:
        return _FirstEvents(request.deadline_s, self.sizes.largest(request), self._events, self._before_leaving)


class _FirstEvents(Observed):
    """Reads a stream up to its n-th event."""

    def __init__(self, deadline_s: float, largest: int, events: int, before_leaving: Callable[[], object]) -> None:
        super().__init__(deadline_s, largest)
        self._events = events
        self._before_leaving = before_leaving

    def read(self, pieces: Iterable[bytes]) -> None:
        super().read(self._until_enough(pieces))

    def _until_enough(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if len(self.frames) >= self._events:
                self._before_leaving()
                return
