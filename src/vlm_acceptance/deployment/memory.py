"""How much memory an engine's processes hold, watched while something is asked of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

EVERY_S = 0.1
_MB = 1 << 20


@dataclass
class Peak:
    """Resident memory in MB: before, and at most since."""

    before_mb: int
    highest_mb: int

    @property
    def growth_mb(self) -> int:
        """By how much it grew at most."""
        return self.highest_mb - self.before_mb


def resident_mb(processes: Sequence[psutil.Process]) -> int:
    """Resident memory of all these processes; one that is gone holds none."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total // _MB


@contextlib.contextmanager
def watched(tree: Callable[[], Sequence[psutil.Process]]) -> Iterator[Peak]:
    """Look at the tree's memory every EVERY_S seconds while the context is open."""
    now = resident_mb(tree())
    peak, over = Peak(now, now), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_S):
            peak.highest_mb = max(peak.highest_mb, resident_mb(tree()))

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
