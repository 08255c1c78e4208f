"""A client that disconnects in mid-stream, as a browser tab that is closed does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vlm_acceptance.client.http import Client, Observed


class DisconnectingClient(Client):
    """Closes every stream without an error after `events` events, and calls `before_leaving` right before."""

    def __init__(self, base_url: str, api_key: str | None, events: int, before_leaving: Callable[[], object]) -> None:
        super().__init__(base_url, api_key)
        self._events = events
        self._before_leaving = before_leaving

    def _observed(self, deadline_s: float) -> Observed:
        return _FirstEvents(deadline_s, self._events, self._before_leaving)


class _FirstEvents(Observed):
    """Reads a stream up to its n-th event."""

    def __init__(self, deadline_s: float, events: int, before_leaving: Callable[[], object]) -> None:
        super().__init__(deadline_s)
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
