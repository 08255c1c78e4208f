"""How long threads waited for a processor while a time was measured, and how much of the time that can explain."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

NS = 1_000_000_000
# the machine's own counters have steps of 10 ms, and there is one at each end
STEP_S = 0.02
# of the time of a request that was not answered in time: how long it would have taken is not known
STARVED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ProcessorReading:
    """Counters in nanoseconds at the monotonic time `at_ns`; None where one cannot be read.

    `own_ns`: waits of the thread that waits for the answer; `engine_ns` and `engine_ran_ns`: waits and processor time
    of every thread of the engine. Of the processors that the engine may use (ours, if it is not observed): `busy_ns`:
    what ran on all of them, `full_ns`: time in which none of them was free, `stolen_ns`: what the host withheld,
    `cpus`: their number. `own_full_ns`: the time in which none was free that our own threads may use. `throttled_ns`:
    what a quota of the container withheld.
    """

    at_ns: int
    own_ns: int | None = None
    engine_ns: int | None = None
    engine_ran_ns: int | None = None
    busy_ns: int | None = None
    stolen_ns: int | None = None
    full_ns: int | None = None
    own_full_ns: int | None = None
    throttled_ns: int | None = None
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds of waiting during `elapsed_s` seconds; None where unobserved.

    `others_s` is what others than the engine ran meanwhile on its processors, `cpus` their number. During `full_s`
    none of them was free, during `own_full_s` none of ours. `throttled_s` is what a quota withheld.
    """

    elapsed_s: float
    own_s: float | None = None
    engine_s: float | None = None
    stolen_s: float | None = None
    others_s: float | None = None
    full_s: float | None = None
    own_full_s: float | None = None
    throttled_s: float | None = None
    cpus: int | None = None

    @property
    def is_observed(self) -> bool:
        """Whether any wait could be read."""
        return self.own_s is not None or self.engine_s is not None

    @property
    def explained_s(self) -> float:
        """The longest delay that waiting can explain.

        Threads that wait one after the other delay by the sum, and at the same time by less: the sum is never too
        small. It is no more than the time in which none of the processors was free that the threads may use, since a
        thread that can run takes a free one; of the engine, no more than others kept it from running (see
        `_others_bound_s`); and no more than the time itself. What the host or a quota withheld comes on top.
        """
        engine_s = self._bounded(self._bounded(self.engine_s, self.full_s), self._others_bound_s)
        waits = self._bounded(self.own_s, self.own_full_s) + engine_s
        return max(0.0, min(self.elapsed_s, waits + (self.stolen_s or 0.0)))

    @property
    def _others_bound_s(self) -> float | None:
        """What others ran, spread over the processors, twice.

        What they take from an engine that keeps all its processors busy delays it by its part of them. Once more,
        because threads that wait for each other in pairs lose the time of both. An engine whose own threads take the
        processors from each other is slow by itself.
        """
        if self.others_s is None or self.cpus is None:
            return self.others_s
        return self.others_s * min(1.0, 2 / self.cpus)

    def _bounded(self, waits_s: float | None, bound_s: float | None) -> float:
        if waits_s is None or bound_s is None:
            return waits_s or 0.0
        return min(waits_s, bound_s + STEP_S + (self.throttled_s or 0.0))

    def starves(self, elapsed_s: float) -> bool:
        """Whether waiting explains that something was not done within `elapsed_s` seconds."""
        return self.explained_s >= STARVED_SHARE * elapsed_s

    def __str__(self) -> str:
        return in_words([self])


def between(first: ProcessorReading, last: ProcessorReading) -> Waited:
    """What was waited from one reading to a later one."""
    elapsed_s = (last.at_ns - first.at_ns) / NS
    ran_s = _seconds(first.engine_ran_ns, last.engine_ran_ns)
    busy_s = _seconds(first.busy_ns, last.busy_ns)
    return Waited(
        elapsed_s,
        _seconds(first.own_ns, last.own_ns),
        _seconds(first.engine_ns, last.engine_ns),
        _stolen_s(_seconds(first.stolen_ns, last.stolen_ns), busy_s, elapsed_s),
        None if busy_s is None else max(0.0, busy_s - (ran_s or 0.0)),
        _seconds(first.full_ns, last.full_ns),
        _seconds(first.own_full_ns, last.own_full_ns),
        _seconds(first.throttled_ns, last.throttled_ns),
        last.cpus,
    )


def _stolen_s(stolen_s: float | None, busy_s: float | None, elapsed_s: float) -> float | None:
    """What the host withheld from a thread that wanted to run all the time: the share of the time that was wanted."""
    if not stolen_s or busy_s is None:
        return stolen_s
    return min(stolen_s, elapsed_s * stolen_s / (stolen_s + busy_s))


def around(readings: Sequence[ProcessorReading], from_ns: int, to_ns: int) -> Waited | None:
    """What was waited between the nearest readings not after `from_ns` and not before `to_ns`; None without such."""
    found = _enclosing(readings, from_ns, to_ns)
    return between(*found) if found else None


def _enclosing(
    readings: Sequence[ProcessorReading], from_ns: int, to_ns: int
) -> tuple[ProcessorReading, ProcessorReading] | None:
    before = bisect_right(readings, from_ns, key=_at_ns) - 1
    after = bisect_left(readings, to_ns, key=_at_ns)
    return (readings[before], readings[after]) if before >= 0 and after < len(readings) else None


def joined(
    own: Sequence[ProcessorReading], others: Sequence[ProcessorReading], from_ns: int, to_ns: int
) -> tuple[ProcessorReading, ProcessorReading] | None:
    """The first and last reading of a span: what is `own` from the thread's readings, the rest from another's.

    None if one of the two does not enclose the span.
    """
    mine, rest = _enclosing(own, from_ns, to_ns), _enclosing(others, from_ns, to_ns)
    if mine is None or rest is None:
        return None
    first, last = (replace(other, own_ns=this.own_ns) for this, other in zip(mine, rest, strict=True))
    return replace(first, at_ns=from_ns), replace(last, at_ns=to_ns)


def explained_share(waits: Sequence[Waited]) -> float:
    """The share of the whole time that waiting explains; 0 without any."""
    elapsed_s = sum(one.elapsed_s for one in waits)
    return sum(one.explained_s for one in waits) / elapsed_s if elapsed_s > 0 else 0.0


def _at_ns(reading: ProcessorReading) -> int:
    return reading.at_ns


def in_words(waits: Sequence[Waited]) -> str:
    """How much of one or several spans waiting explains; a part that is unobserved in one of them is so in all."""
    if not waits or not all(one.is_observed for one in waits):
        return "waiting for a processor unobserved"
    parts = {
        "own threads": [one.own_s for one in waits],
        "engine's threads": [one.engine_s for one in waits],
        "stolen": [one.stolen_s for one in waits],
    }
    shown = ", ".join(f"{name} {_sum_in_words(values)}" for name, values in parts.items())
    explained_s, elapsed_s = sum(one.explained_s for one in waits), sum(one.elapsed_s for one in waits)
    return f"{_milliseconds(explained_s)} of {_milliseconds(elapsed_s)} waiting for a processor ({shown})"


def _sum_in_words(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _milliseconds(sum(known)) if len(known) == len(values) else "unobserved"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _seconds(first_ns: int | None, last_ns: int | None) -> float | None:
    return None if first_ns is None or last_ns is None else max(0, last_ns - first_ns) / NS
