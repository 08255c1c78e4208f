"""Asks many questions, a bounded number at a time, and hands over every answer when it is there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from vlm_acceptance.accuracy.item import Answer, PreparedRequest
from vlm_acceptance.core.errors import HarnessProblem, VlmAcceptanceError
from vlm_acceptance.stats.binomial import wilson

MAX_CONCURRENCY = 64
AHEAD = 4  # threads that hold the next requests ready, so that no slot waits for a picture to be read
TICK_S = 1.0


class Ask(Protocol):
    """Makes a question ready to be sent; calling what it returns sends it and waits for the answer."""

    def prepare(self, asked: PreparedRequest) -> Callable[[], Answer]: ...


def run(
    ids: Sequence[str],
    make: Callable[[str], PreparedRequest],
    ask: Ask,
    *,
    concurrency: int,
    on_answer: Callable[[Answer], None],
    should_stop: Callable[[], bool] = lambda: False,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Ask in order, at most `concurrency` (1 to 64) sent and not yet handed over; once `should_stop()`, nothing more.

    `make` and `ask` are called in threads; in the caller's `on_answer`, `on_wait` (each second without an answer) and
    then `should_stop`. Raises what `make` or `ask` raised of ours, HarnessProblem when a thread broke otherwise.
    """
    crew = _Crew(ids, make, ask, max(1, min(concurrency, MAX_CONCURRENCY)))
    broken: VlmAcceptanceError | None = None
    crew.start()
    try:
        for seen in crew.seen():
            if isinstance(seen, Answer):
                on_answer(seen)
                crew.slots.leave()
            elif seen is None:
                on_wait()
            else:
                broken = broken or seen
            if broken or should_stop():
                crew.slots.close()
    finally:
        # daemons: Ctrl-C must not wait for an endpoint that hangs
        crew.slots.close()
    if broken is not None:
        raise broken


class _Slots:
    """Lets `count` in at once, in the order of their numbers; nobody once it is closed."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._next = 0
        self._closed = False
        self._lock = threading.Lock()
        self._waiting: dict[int, threading.Lock] = {}

    def enter(self, number: int) -> bool:
        """Wait for the turn of `number`; False when it does not come any more."""
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            self._waiting[number] = turn
            self._admit()
        turn.acquire()
        return not self._closed

    def leave(self) -> None:
        with self._lock:
            self._free += 1
            self._admit()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._admit()

    def _admit(self) -> None:
        # only those are woken whose turn it is: waking all of them costs more than building their requests
        while self._closed and self._waiting:
            self._waiting.popitem()[1].release()
        while self._free and self._next in self._waiting:
            self._free -= 1
            self._waiting.pop(self._next).release()
            self._next += 1


class _Crew:
    """The threads of one run and what they have seen. A thread is started when too few are left to build requests."""

    def __init__(self, ids: Sequence[str], make: Callable[[str], PreparedRequest], ask: Ask, concurrency: int) -> None:
        self.slots = _Slots(concurrency)
        self._make = make
        self._ask = ask
        self._left = enumerate(ids)
        self._most = min(concurrency + AHEAD, len(ids))
        self._lock = threading.Lock()
        self._started = self._sending = 0
        self._seen: queue.SimpleQueue[Answer | VlmAcceptanceError | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start as many threads as build requests; more follow while these wait for answers."""
        for _ in range(min(AHEAD, self._most)):
            self._grow()

    def seen(self) -> Iterator[Answer | VlmAcceptanceError | None]:
        """What the threads hand over until the last of them ended; None after each second of silence."""
        ended = 0
        while ended < self._started:
            try:
                seen = self._seen.get(timeout=TICK_S)
            except queue.Empty:
                yield None
                continue
            if seen is None:
                ended += 1
            else:
                yield seen

    def _grow(self) -> None:
        # an idle thread is cheap, but many that contend for the interpreter cost a fifth of the whole run
        with self._lock:
            if self._started == self._most or self._started - self._sending >= AHEAD:
                return
            self._started += 1
        try:
            threading.Thread(target=self._work, name="ask", daemon=True).start()
        except BaseException:
            self._started -= 1
            raise

    def _work(self) -> None:
        ident = ""
        try:
            while (taken := self._take()) is not None:
                number, ident = taken
                if not self._one(number, ident):
                    break
        except VlmAcceptanceError as known:
            self._seen.put(known)
        except Exception as broken:  # noqa: BLE001  (raised again in the caller's thread)
            problem = HarnessProblem(f"asking {ident} broke: {type(broken).__name__}: {broken}")
            problem.__cause__ = broken
            self._seen.put(problem)
        finally:
            self._seen.put(None)

    def _take(self) -> tuple[int, str] | None:
        with self._lock:
            return next(self._left, None)

    def _one(self, number: int, ident: str) -> bool:
        """Ask one question; its request is gone from memory on return."""
        send = self._ask.prepare(self._make(ident))
        if not self.slots.enter(number):
            return False
        with self._lock:
            self._sending += 1
        self._grow()
        try:
            self._seen.put(send())
        finally:
            with self._lock:
                self._sending -= 1
        return True


class InOrder:
    """Passes answers on in the planned order, each as soon as all before it are there.

    What depends on it, such as an early stop, does not depend on which answers come first.
    """

    def __init__(self, order: Sequence[str], release: Callable[[Answer], None]) -> None:
        self._order = order
        self._release = release
        self._next = 0
        self._waiting: dict[str, Answer] = {}

    def add(self, answer: Answer) -> None:
        """One more answer, in whatever order they come."""
        self._waiting[answer.id] = answer
        while self._next < len(self._order) and self._order[self._next] in self._waiting:
            self._next += 1
            self._release(self._waiting.pop(self._order[self._next - 1]))


def progress_line(name: str, done: int, total: int, right: int, errors: int, *, fresh: int, elapsed_s: float) -> str:
    """One line of progress. `done` counts every question with an answer or an error, `fresh` those of this run only.

    The accuracy is that of the answers so far, with its 95 % interval.
    """
    parts = [f"{name} {done}/{total}"]
    answered = done - errors
    if answered:
        low, high = wilson(right, answered)
        parts.append(f"acc {right / answered:.1%} ({low * 100:.1f}-{high * 100:.1f})".replace("%", " %"))
    parts.append(f"{errors} error{'' if errors == 1 else 's'}")
    if fresh and elapsed_s > 0:
        rate = fresh / elapsed_s
        parts += [f"{rate:.1f} q/s", f"{_clock((total - done) / rate)} left"]
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
