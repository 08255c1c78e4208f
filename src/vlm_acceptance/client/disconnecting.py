"""Clients that leave before their answer is complete, as a browser tab that is closed does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from vlm_acceptance.client.cutoff import Cutoff
from vlm_acceptance.client.http import Client, Observed
from vlm_acceptance.core.exchange import Request


class DisconnectingClient(Client):
    """Sends as `like` does, but closes every stream without an error after `events` events.

    It calls `before_leaving` right before that. Ids of exchanges differ from those of `like`.
    """

    def __init__(self, like: Client, events: int, before_leaving: Callable[[], object]) -> None:
        super().__init__(like.base_url, like.api_key, like.sizes, like.gateway)
        self._ids = like._ids
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


class LeavingClient(Client):
    """Sends as `like` does, until `leave` is called: then the connections of all its requests are closed.

    The exchanges of those without a complete answer have an error, `reset` or `protocol`.
    """

    def __init__(self, like: Client) -> None:
        super().__init__(like.base_url, like.api_key, like.sizes, like.gateway)
        self._ids = like._ids
        self._cutoff = self._leaving = _Leaving()

    def leave(self) -> None:
        """Close the connections that are open now, and those of later requests at once."""
        self._leaving.leave()


class _Leaving(Cutoff):
    """Cuts every read from `leave` on, as if its deadline had passed."""

    def __init__(self) -> None:
        super().__init__()
        self._has_left = False

    def leave(self) -> None:
        with self._lock:
            self._has_left = True
            self._reads = {read: (0, cut) for read, (_, cut) in self._reads.items()}

    @contextlib.contextmanager
    def at(self, deadline_ns: int, cut: Callable[[], None]) -> Iterator[None]:
        with super().at(0 if self._has_left else deadline_ns, cut):
            yield
