"""Ends reads at a deadline: a socket's own timeout restarts with every byte, and a thread per read costs too much."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

EVERY_S = 0.02
IDLE_NS = 1_000_000_000


class Cutoff:
    """Calls `cut` for every read that passes its deadline, from one thread for all reads; it ends when it is idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[object, tuple[int, Callable[[], None]]] = {}
        self._is_watched = False

    @contextlib.contextmanager
    def at(self, deadline_ns: int, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` every EVERY_S seconds from `deadline_ns` (monotonic) until the block ends."""
        read = object()
        with self._lock:
            self._reads[read] = (deadline_ns, cut)
            if not self._is_watched:
                threading.Thread(target=self._watch, name="cutoff", daemon=True).start()
                self._is_watched = True
        try:
            yield
        finally:
            with self._lock:
                del self._reads[read]

    def _watch(self) -> None:
        last_ns = time.monotonic_ns()
        while True:
            time.sleep(EVERY_S)
            now_ns = time.monotonic_ns()
            with self._lock:
                if self._reads:
                    last_ns = now_ns
                elif now_ns - last_ns > IDLE_NS:
                    self._is_watched = False
                    return
                for deadline_ns, cut in self._reads.values():
                    if now_ns >= deadline_ns:
                        cut()
