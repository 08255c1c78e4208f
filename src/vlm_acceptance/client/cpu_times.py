"""What the processors did that a thread may use, and for how long none of them was free, from /proc/stat."""

from __future__ import annotations

import contextlib
import os

from vlm_acceptance.core.waiting import NS

# user, nice, system, irq, softirq: what ran, without steal and guests (they are in user); idle and iowait: it was free
RAN, IDLE, STOLEN = (0, 1, 2, 5, 6), (3, 4), 7
# the idlest processor is looked up anew after this time, not more often: the counters have steps of 10 ms
LOOK_NS = NS
# nanoseconds by processor: what ran, how long it was idle, what the host withheld
Table = dict[int, tuple[int, int, int]]
_HERTZ = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def allowed(thread: int = 0) -> frozenset[int]:
    """The processors that a thread may use, 0 for the calling one; empty where that cannot be read."""
    with contextlib.suppress(OSError, AttributeError):
        return frozenset(os.sched_getaffinity(thread))
    return frozenset()


def table_of(stat: bytes) -> Table:
    """What /proc/stat has about single processors; ValueError without any."""
    rows = [line.split() for line in stat.splitlines() if line.startswith(b"cpu") and line[3:4].isdigit()]
    if not rows:
        raise ValueError("no processors")
    unit = NS // _HERTZ
    table = {}
    for name, *words in rows:
        ticks = [int(word) for word in words]
        table[int(name[3:])] = (
            sum(ticks[n] for n in RAN) * unit,
            sum(ticks[n] for n in IDLE) * unit,
            ticks[STOLEN] * unit,
        )
    return table


class Processors:
    """What some processors did since the first table, summed up; `full_ns`: time in which perhaps none was free.

    No time is full while one of them is idle: of each span, what the idlest one was not. That is never too small.
    """

    def __init__(self, cpus: frozenset[int] = frozenset()) -> None:
        self._cpus = cpus
        self.busy_ns = self.stolen_ns = self.full_ns = 0
        self._last: Table | None = None
        self._from: tuple[Table, int, int] | None = None

    def look_at(self, cpus: frozenset[int]) -> None:
        """Count these from now on."""
        if cpus != self._cpus:
            self._cpus, self._last, self._from = cpus, None, None

    def found(self, table: Table) -> Table:
        """Those of them that the table names; all if it names none: a container may have its own numbers."""
        return {cpu: counts for cpu, counts in table.items() if cpu in self._cpus} or table

    def add(self, table: Table, now_ns: int) -> None:
        """Take the counters of all processors."""
        seen, last = self.found(table), self._last
        if last is None or last.keys() != seen.keys():
            last, self._from = seen, None
        if self._from is None:
            self._from = seen, now_ns, self.full_ns
        self.busy_ns += sum(max(0, counts[0] - last[cpu][0]) for cpu, counts in seen.items())
        self.stolen_ns += sum(max(0, counts[2] - last[cpu][2]) for cpu, counts in seen.items())
        self._last = seen
        first, from_ns, full_ns = self._from
        idle_ns = max(counts[1] - first[cpu][1] for cpu, counts in seen.items())
        self.full_ns = full_ns + max(0, now_ns - from_ns - idle_ns)
        if now_ns - from_ns >= LOOK_NS:
            self._from = seen, now_ns, self.full_ns
