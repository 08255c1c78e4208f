"""How much memory an engine's processes hold, watched while something is asked of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

EVERY_S = 0.1


@dataclass
class Peak:
    """Resident memory in MB: before, and at most since."""

    before_mb: int
    highest_mb: int

    @property
    def growth_mb(self) -> int:
        """By how much it grew at most."""
        return self.highest_mb - self.before_mb


def resident_mb(processes: Sequence[psutil.Process]) -> float | None:
    """Resident memory of living processes together, in MB (2**20); None without any."""
    seen = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            seen.append(process.memory_info().rss)
    return sum(seen) / (1 << 20) if seen else None


@contextlib.contextmanager
def watched(tree: Callable[[], Sequence[psutil.Process]]) -> Iterator[Peak]:
    """Look at the tree's memory every EVERY_S seconds while the context is open."""

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
