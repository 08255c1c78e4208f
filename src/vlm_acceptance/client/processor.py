"""Reads how long threads waited for a processor: of this thread, of an engine's processes, and of the machine."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vlm_acceptance.client.cpu_times import Processors, allowed, table_of
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.waiting import ProcessorReading, Waited, around, joined

# what a quota of this container withheld: file (cgroup 2, then 1), key, nanoseconds a unit
THROTTLED = (
    ("cpu.stat", b"throttled_usec", 1000),
    ("cpu/cpu.stat", b"throttled_time", 1),
    ("cpu,cpuacct/cpu.stat", b"throttled_time", 1),
)
# threads of gloo look a hundred times a second for messages of other ranks: no request waits for them
POLLERS = ("gloo_tcp_loop",)
EVERY_S = 1.0
# a quarter of an hour: longer than the longest deadline
KEPT = 900
# readings of the whole run, for its report
WHOLE = 600
Counts = tuple[int, int]


class ProcessorClock:
    """Reads the counters of the calling thread, of the machine, and of the processes whose ids `processes` returns.

    Without `processes` the engine is unobserved: an attached endpoint may be on another machine. Without `machine` only
    threads are read. May be used by many threads.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[int]] | None = None,
        proc: Path = Path("/proc"),
        cgroup: Path = Path("/sys/fs/cgroup"),
        *,
        machine: bool = True,
        allowed: Callable[[int], frozenset[int]] = allowed,
    ) -> None:
        self._processes, self._proc, self._reads_machine = processes, proc, machine
        self._quotas = [(str(cgroup / name), key, unit) for name, key, unit in THROTTLED if (cgroup / name).is_file()]
        self._engine = _Threads(proc, allowed) if processes is not None else None
        self._own_cpus = Processors(allowed(0))
        self._engine_cpus = Processors() if processes is not None else self._own_cpus
        self._lock = threading.Lock()

    def begin(self) -> ProcessorReading:
        """The first reading of a span; it also looks for new processes, which takes some milliseconds."""
        if self._processes is not None and self._engine is not None:
            self._engine.look_at(self._processes())
            with self._lock:
                self._engine_cpus.look_at(self._engine.cpus)
        return self.read()

    def read(self, at_ns: int | None = None) -> ProcessorReading:
        """The counters now, under the time `at_ns` if it is given."""
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        own = _counts(f"{self._proc}/thread-self/schedstat")
        engine = self._engine.read() if self._engine is not None else None
        ran_ns, waited_ns = engine or (None, None)
        reading = ProcessorReading(at_ns, own[1] if own else None, waited_ns, ran_ns)
        return self._with_machine(reading) if self._reads_machine else reading

    def _with_machine(self, reading: ProcessorReading) -> ProcessorReading:
        try:
            with self._lock, open(f"{self._proc}/stat", "rb", buffering=0) as file:
                table, now_ns = table_of(file.read()), time.monotonic_ns()
                for one in {self._own_cpus, self._engine_cpus}:
                    one.add(table, now_ns)
                cpus, own_full_ns = self._engine_cpus, self._own_cpus.full_ns
                return replace(
                    reading,
                    busy_ns=cpus.busy_ns,
                    stolen_ns=cpus.stolen_ns,
                    full_ns=cpus.full_ns,
                    own_full_ns=own_full_ns,
                    throttled_ns=sum(_throttled(*quota) for quota in self._quotas),
                    cpus=len(cpus.found(table)),
                )
        except (OSError, ValueError, IndexError):
            return reading


# of the calling thread alone: it takes no time worth naming
OWN_CLOCK = ProcessorClock(machine=False)


class WaitHistory:
    """Readings of a clock every EVERY_S seconds from `start` to `stop`, for requests whose end is a deadline."""

    def __init__(self, clock: ProcessorClock) -> None:
        self._clock = clock
        self._readings: deque[ProcessorReading] = deque(maxlen=KEPT)
        self._whole: list[ProcessorReading] = []
        self._seen, self._every = 0, 1
        self._stopped = threading.Event()

    def start(self) -> WaitHistory:
        """Begin to read, in a thread."""
        self._readings.append(self._clock.begin())
        threading.Thread(target=self._read, name="wait-history", daemon=True).start()
        return self

    def stop(self) -> None:
        """Read no more."""
        self._stopped.set()

    def readings(self, exchange: Exchange) -> tuple[ProcessorReading, ...]:
        """Readings around an exchange: of its own thread, and of others if it was seen."""
        seen = [*self._readings, self._clock.read()]
        return joined(exchange.readings, seen, exchange.started_ns, exchange.finished_ns) or exchange.readings

    def waited(self, exchange: Exchange) -> Waited | None:
        """What was waited for a processor during an exchange."""
        return around(self.readings(exchange), exchange.started_ns, exchange.finished_ns)

    @property
    def whole(self) -> list[ProcessorReading]:
        """Readings from the start to now, without those of the reading thread; in a longer run fewer a second."""
        return [replace(reading, own_ns=None) for reading in self._whole]

    def _read(self) -> None:
        while not self._stopped.wait(EVERY_S):
            reading = self._clock.begin()
            self._readings.append(reading)
            self._keep(reading)

    def _keep(self, reading: ProcessorReading) -> None:
        if self._seen % self._every == 0:
            self._whole.append(reading)
        self._seen += 1
        if len(self._whole) >= WHOLE:
            del self._whole[1::2]
            self._every *= 2


class _Threads:
    """Sums over all threads of processes since the first reading, without POLLERS; one that ends keeps its part.

    `cpus` are the processors that any of them may use.
    """

    def __init__(self, proc: Path, allowed: Callable[[int], frozenset[int]]) -> None:
        self._proc, self._allowed = proc, allowed
        self.cpus: frozenset[int] = frozenset()
        self._pids: Sequence[int] = ()
        self._left_out: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._last: dict[str, Counts] | None = None
        self._ran_ns = self._waited_ns = 0

    def look_at(self, pids: Sequence[int]) -> None:
        """Read these processes from now on; which of their threads are pollers is seen now."""
        self._pids = tuple(pids)
        names = {thread: _name(f"{folder}/comm") for thread, folder in self._folders()}
        self._left_out = frozenset(thread for thread, name in names.items() if name in POLLERS)
        counted = names.keys() - self._left_out
        self.cpus = frozenset().union(*{self._allowed(int(thread.rpartition("/")[2])) for thread in counted})

    def read(self) -> Counts | None:
        """Processor time and waits in nanoseconds; None where no thread can be read."""
        with self._lock:
            seen = dict(self._threads())
            if not seen:
                return None
            for thread, counts in seen.items():
                ran, waited = self._last.get(thread, (0, 0)) if self._last is not None else counts
                self._ran_ns += max(0, counts[0] - ran)
                self._waited_ns += max(0, counts[1] - waited)
            self._last = seen
            return self._ran_ns, self._waited_ns

    def _threads(self) -> Iterator[tuple[str, Counts]]:
        for thread, folder in self._folders():
            if thread not in self._left_out and (counts := _counts(f"{folder}/schedstat")) is not None:
                yield thread, counts

    def _folders(self) -> Iterator[tuple[str, str]]:
        for pid in self._pids:
            folder = f"{self._proc}/{pid}/task"
            with contextlib.suppress(OSError):  # the process has ended
                yield from ((f"{pid}/{thread}", f"{folder}/{thread}") for thread in os.listdir(folder))


def _counts(path: str) -> Counts | None:
    """Processor time and waits of a thread; None where the kernel does not report them."""
    try:
        with open(path, "rb", buffering=0) as file:
            ran, waited = map(int, file.read(100).split()[:2])
            # a kernel that does not count says "0 0 0"
            return (ran, waited) if ran or waited else None
    except (OSError, ValueError):
        return None


def _name(path: str) -> str:
    """The name of a thread; '' if it has ended."""
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        return file.read(100).decode("utf-8", "replace").strip()
    return ""


def _throttled(path: str, key: bytes, unit: int) -> int:
    """Nanoseconds for which a quota held back threads that wanted to run; 0 without a quota."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb", buffering=0) as file:
        figures = dict(line.split()[:2] for line in file.read(1000).splitlines() if b" " in line)
        return int(figures.get(key, 0)) * unit
    return 0
