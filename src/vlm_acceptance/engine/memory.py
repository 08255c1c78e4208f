"""Resident memory of an engine's processes, sampled while requests are in flight."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

EVERY_S = 0.1


@dataclass
class Peak:
    """Resident memory in MB: before, and the highest value since."""

    before_mb: int
    highest_mb: int

    @property
    def growth_mb(self) -> int:
        """The largest growth."""
        return self.highest_mb - self.before_mb


def resident_mb(processes: Sequence[psutil.Process]) -> float | None:
    """Total resident memory of the living processes in MB (2**20); None when there is none."""
    seen = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has ended
            seen.append(process.memory_info().rss)
    return sum(seen) / (1 << 20) if seen else None


@contextlib.contextmanager
def watched(tree: Callable[[], Sequence[psutil.Process]]) -> Iterator[Peak]:
    """Sample the memory of the process tree every EVERY_S seconds while the context is open."""

    def now() -> int:
        return round(resident_mb(tree()) or 0)

    before, over = now(), threading.Event()
    peak = Peak(before, before)

    def watch() -> None:
        while not over.wait(EVERY_S):
            peak.highest_mb = max(peak.highest_mb, now())

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
