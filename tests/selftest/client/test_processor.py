"""Counters of threads and of the machine, read from files in the form of /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.client.processor import ProcessorClock, WaitHistory
from vlm_acceptance.core.exchange import Exchange, Request
from vlm_acceptance.core.waiting import ProcessorReading

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    thread(tmp_path, "thread-self", 7, 70)
    machine(tmp_path, [(0, 0, 0)])
    return tmp_path


def machine(proc: Path, cpus: list[tuple[int, int, int]]) -> None:
    """Processors with ticks that ran, were idle and stolen."""
    lines = [f"cpu{n} {ran} 0 0 {idle} 0 0 0 {stolen} 0 0" for n, (ran, idle, stolen) in enumerate(cpus)]
    (proc / "stat").write_text("\n".join(["cpu  9 9 9 9 9 9 9 9 9 9", *lines, "intr 5 0 0", ""]), "utf-8")


def allow(cpus: dict[int, set[int]]) -> Callable[[int], frozenset[int]]:
    return lambda thread: frozenset(cpus.get(thread, ()))


def thread(proc: Path, place: str, ran: int, waited: int) -> None:
    folder = proc / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedstat").write_text(f"{ran} {waited} 3\n", "utf-8")


def test_own_waits_and_the_machine_are_read(proc: Path) -> None:
    clock = ProcessorClock(proc=proc, cgroup=proc, allowed=allow({0: {0}}))
    first = clock.begin()
    assert (first.own_ns, first.engine_ns, first.engine_ran_ns) == (70, None, None)
    (proc / "stat").write_text("cpu0 10 1 20 400 30 3 4 6 5 0\n", "utf-8")
    last = clock.read()
    assert (last.busy_ns, last.stolen_ns, last.cpus) == (38 * TICK_NS, 6 * TICK_NS, 1)


def test_only_the_processors_that_the_engine_may_use_are_counted(proc: Path) -> None:
    for number in (5, 6):
        thread(proc, f"5/task/{number}", 100, 10)
    machine(proc, [(0, 0, 0)] * 4)
    clock = ProcessorClock(lambda: [5], proc, proc, allowed=allow({0: {0}, 5: {1}, 6: {1, 2}}))
    clock.begin()
    machine(proc, [(1000, 0, 1), (20, 0, 2), (30, 0, 3), (4000, 0, 4)])
    last = clock.read()
    assert (last.busy_ns, last.stolen_ns, last.cpus) == (50 * TICK_NS, 5 * TICK_NS, 2)


def test_no_time_is_full_while_one_processor_is_idle(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    thread(proc, "5/task/5", 100, 10)
    machine(proc, [(0, 0, 0)] * 3)
    clock = ProcessorClock(lambda: [5], proc, proc, allowed=allow({0: {0}, 5: {1, 2}}))
    clock.begin()
    now[0] = 50 * TICK_NS
    machine(proc, [(50, 0, 0), (50, 0, 0), (20, 30, 0)])
    seen = clock.read()
    assert (seen.full_ns, seen.own_full_ns) == (20 * TICK_NS, 50 * TICK_NS)
    now[0] = 100 * TICK_NS
    machine(proc, [(50, 50, 0), (100, 0, 0), (70, 30, 0)])
    seen = clock.read()
    assert (seen.full_ns, seen.own_full_ns) == (70 * TICK_NS, 50 * TICK_NS)
    now[0] = 200 * TICK_NS  # another one is idle in the next second
    machine(proc, [(50, 150, 0), (110, 90, 0), (170, 30, 0)])
    assert clock.read().full_ns == 80 * TICK_NS


@pytest.mark.parametrize("stat", ["cpu0 30 0 0 0 0 0 0 0\n", "cpu 30 0 0 0 0 0 0 0\n", ""])
def test_processors_with_other_numbers_all_count_and_without_any_nothing_is_known(proc: Path, stat: str) -> None:
    clock = ProcessorClock(proc=proc, cgroup=proc, allowed=allow({0: {77}}))
    clock.begin()
    (proc / "stat").write_text(stat, "utf-8")
    seen = clock.read()
    assert (seen.busy_ns, seen.cpus) == ((30 * TICK_NS, 1) if "cpu0" in stat else (None, None))
    assert seen.own_ns == 70


@pytest.mark.parametrize(
    ("name", "line", "withheld_ns"),
    [("cpu.stat", "throttled_usec 5", 5000), ("cpu/cpu.stat", "throttled_time 5", 5), ("cpu.stat", "nr_periods 5", 0)],
)
def test_what_a_quota_withholds_is_read(proc: Path, name: str, line: str, withheld_ns: int) -> None:
    (proc / "cpu").mkdir()
    (proc / name).write_text(f"usage_usec 7\n{line}\n", "utf-8")
    assert ProcessorClock(proc=proc, cgroup=proc).begin().throttled_ns == withheld_ns


def test_waits_of_every_thread_of_every_process_add(proc: Path) -> None:
    thread(proc, "5/task/5", 100, 10)
    thread(proc, "5/task/6", 100, 20)
    thread(proc, "9/task/9", 100, 30)
    clock = ProcessorClock(lambda: [5, 9], proc, proc)
    first = clock.begin()
    thread(proc, "5/task/6", 150, 21)
    thread(proc, "9/task/9", 101, 35)
    last = clock.read(at_ns=44)
    assert last.at_ns == 44
    assert last.engine_ns is not None and first.engine_ns is not None
    assert (last.engine_ns - first.engine_ns, last.engine_ran_ns) == (6, 51)


def test_new_threads_count_from_their_start_and_ended_ones_keep_what_they_waited(proc: Path) -> None:
    thread(proc, "5/task/5", 100, 10)
    clock = ProcessorClock(lambda: [5], proc, proc)
    assert clock.begin().engine_ns == 0
    thread(proc, "5/task/6", 40, 4)
    assert clock.read().engine_ns == 4
    for file in (proc / "5/task/6").iterdir():
        file.unlink()
    assert clock.read().engine_ns == 4
    thread(proc, "5/task/6", 3, 2)  # another thread got the number
    assert clock.read().engine_ns == 6


def test_threads_that_only_poll_are_left_out(proc: Path) -> None:
    for number, name in ((5, "python"), (6, "gloo_tcp_loop")):
        thread(proc, f"5/task/{number}", 100, 10)
        (proc / f"5/task/{number}/comm").write_text(f"{name}\n", "utf-8")
    clock = ProcessorClock(lambda: [5], proc, proc)
    clock.begin()
    thread(proc, "5/task/5", 101, 13)
    thread(proc, "5/task/6", 200, 500)
    last = clock.read()
    assert (last.engine_ns, last.engine_ran_ns) == (3, 1)


def test_a_clock_of_threads_alone_does_not_read_the_machine(proc: Path) -> None:
    reading = ProcessorClock(proc=proc, cgroup=proc, machine=False).begin()
    assert (reading.own_ns, reading.busy_ns, reading.stolen_ns) == (70, None, None)


def lasting(from_ns: int, to_ns: int) -> Exchange:
    """An exchange whose own thread waited for 2 ms."""
    own = (ProcessorReading(from_ns, own_ns=0), ProcessorReading(to_ns, own_ns=2_000_000))
    return Exchange("r1", Request("GET", "/"), "", from_ns, to_ns, 200, readings=own)


def test_a_history_adds_what_the_engine_waited_to_what_it_has_seen(proc: Path) -> None:
    thread(proc, "5/task/5", 1, 5)
    before_ns = time.monotonic_ns()
    history = WaitHistory(ProcessorClock(lambda: [5], proc, proc)).start()
    began_ns = time.monotonic_ns()
    thread(proc, "5/task/5", 1, 1_000_005)
    seen = history.waited(lasting(began_ns, time.monotonic_ns()))
    history.stop()
    assert seen is not None
    assert (seen.own_s, seen.engine_s) == (0.002, 0.001)
    earlier = history.waited(lasting(before_ns - 1, began_ns))
    assert earlier is not None
    assert (earlier.own_s, earlier.engine_s) == (0.002, None)


def test_what_cannot_be_read_is_none_not_zero(tmp_path: Path) -> None:
    reading = ProcessorClock(lambda: [5], tmp_path / "absent", tmp_path).begin()
    assert (reading.own_ns, reading.engine_ns, reading.engine_ran_ns) == (None, None, None)
    assert (reading.busy_ns, reading.stolen_ns) == (None, None)


def test_a_kernel_that_does_not_count_says_zero_and_is_unobserved(proc: Path) -> None:
    thread(proc, "thread-self", 0, 0)
    thread(proc, "5/task/5", 0, 0)
    reading = ProcessorClock(lambda: [5], proc, proc).begin()
    assert (reading.own_ns, reading.engine_ns) == (None, None)


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").is_file(), reason="this kernel counts no waits")
def test_this_kernel_counts_the_waits_of_this_thread_and_process() -> None:
    clock = ProcessorClock(lambda: [os.getpid()])
    first = clock.begin()
    sum(range(300_000))
    last = clock.read()
    assert None not in (first.own_ns, last.own_ns, first.engine_ran_ns, last.engine_ran_ns, last.busy_ns)
    assert (last.engine_ran_ns or 0) > (first.engine_ran_ns or 0)
