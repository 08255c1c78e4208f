"""The ladder of load: one kind of prompt after the other, sent by more and more clients at once."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vlm_acceptance.checks.latency import from_reply, waits_of
from vlm_acceptance.checks.load_steps import Climb, Rung, State, Step, Taken, failure_of, state_of
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.ladder_sections import Ladder
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.errors import NotStored
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Request
from vlm_acceptance.core.waiting import ProcessorReading
from vlm_acceptance.workloads.ladder_prompts import Prompt
from vlm_acceptance.workloads.load import Watchdog, answer_to, send_watched

# of the answers of a step, and of its failures of each cause: exchanges that are recorded
KEPT = 2
# after so many failures in a row the rest of a step would show nothing new
SILENT_IN_A_ROW = 8


def climb(
    client: RecordingClient, prompt: Prompt, wanted: Ladder, hang_s: float, chance: Chance, log: Callable[[str], None]
) -> Climb:
    """One step after the other, each with more requests at once, until one loses its budgets twice."""
    return again(client.observed("climb", Climb, lambda: _climb(client, prompt, wanted, hang_s, chance, log)), wanted)


def again(made: Climb, wanted: Ladder) -> Climb:
    """The climb by these budgets, which may change a stored one; NotStored where another step would be needed."""
    rungs: list[Rung] = []
    for rung in made.rungs:
        steps = tuple((step, state_of(step, wanted.budgets)) for step, _ in rung.steps)
        first, state = steps[0]
        if state is not State.HELD and len(steps) == 1 and first.hang is None:
            raise NotStored(f"a second step of {first.concurrency} at once ({made.name})")
        rungs.append(Rung(steps[:1] if state is State.HELD else steps))
        if rungs[-1].state is not State.HELD:
            return replace(made, rungs=tuple(rungs), left_out=tuple(wanted.concurrency[len(rungs) :]))
    if rungs and made.left_out:
        raise NotStored(f"a step of {made.left_out[0]} at once ({made.name})")
    return made


def _climb(
    client: RecordingClient, prompt: Prompt, wanted: Ladder, hang_s: float, chance: Chance, log: Callable[[str], None]
) -> Climb:

    def body() -> dict[str, Any]:
        return prompt.body(client.model_id, wanted.output_tokens, chance)

    # a length of prompts that is new to the engine may compile, whatever was sent before
    reply = answer_to(client.body(body(), client.deadlines.cold_s))
    if isinstance(reply, NoReply):
        return Climb(prompt.name, None, (), tuple(wanted.concurrency), reply)
    rungs: list[Rung] = []
    for concurrency in wanted.concurrency:
        rungs.append(_rung(client, body, wanted, concurrency, hang_s))
        log(f"capacity: {prompt.name}, {concurrency} at once: {rungs[-1].state.value}")
        if rungs[-1].state is not State.HELD:
            break
    left_out = tuple(wanted.concurrency[len(rungs) :])
    return Climb(prompt.name, reply.usage.prompt if reply.usage else None, tuple(rungs), left_out)


def _rung(
    client: RecordingClient, body: Callable[[], dict[str, Any]], wanted: Ladder, concurrency: int, hang_s: float
) -> Rung:
    """A step, and once more if it did not hold: one bad moment is no limit of the deployment."""
    steps: list[tuple[Step, State]] = []
    for is_cold in (True, False):
        made = step(client, body, wanted, concurrency, hang_s, is_cold=is_cold)
        steps.append((made, state_of(made, wanted.budgets)))
        if steps[-1][1] is State.HELD or made.hang is not None:
            break
    return Rung(tuple(steps))


def step(
    client: RecordingClient,
    body: Callable[[], dict[str, Any]],
    wanted: Ladder,
    concurrency: int,
    hang_s: float,
    *,
    is_cold: bool = False,
) -> Step:
    """`concurrency` requests at once, for `step_s` seconds and until enough are measured.

    The first `concurrency` requests are not measured: they all begin at once, as those after them do not. If the step
    `is_cold`, so many at once are new to the engine, which may compile: its first requests get the time for that.
    """
    run = _Running(client, body, wanted, concurrency, is_cold)
    watchdog = Watchdog(client.http, hang_s, clock=client.clock)
    watchdog.least_s = run.least_s
    began_ns = time.monotonic_ns()
    hang = send_watched(client.http, run.requests(), concurrency, run.take, watchdog)
    ended_ns = max((one.finished_ns for one in run.received), default=began_ns)
    taken = tuple(one.with_waits(watchdog.processors) for one in run.received)
    return Step(concurrency, (ended_ns - began_ns) / NS, taken, hang)


@dataclass(frozen=True, slots=True)
class _Received:
    """What is kept of one exchange: memory must not grow with the answers."""

    started_ns: int
    finished_ns: int
    own_s: float | None
    taken: Taken

    def with_waits(self, processors: Sequence[ProcessorReading]) -> Taken:
        if self.taken.sample is None:
            return self.taken
        waited = waits_of(self.taken.sample, processors, self.started_ns, self.own_s)
        return replace(self.taken, waited=waited)


@dataclass
class _Running:
    """A step that is going on."""

    client: RecordingClient
    body: Callable[[], dict[str, Any]]
    wanted: Ladder
    concurrency: int
    is_cold: bool
    sent: int = 0
    silent: int = 0
    received: list[_Received] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def requests(self) -> Iterator[tuple[int, Request]]:
        """New requests until the time is over and enough were sent to be measured."""
        until_ns = time.monotonic_ns() + round(self.wanted.step_s * NS)
        least = self.concurrency + self.wanted.requests
        while self.silent < SILENT_IN_A_ROW and (self.sent < least or time.monotonic_ns() < until_ns):
            self.sent += 1
            request = self.client.request(self.body())
            if self.is_cold and self.sent <= self.concurrency:
                request = replace(request, deadline_s=max(request.deadline_s, self.client.deadlines.cold_s))
            yield self.sent - 1, request

    def least_s(self) -> float:
        """Seconds to wait at least before a hang is assumed; the first answer shows that nothing compiles any more."""
        return self.client.deadlines.cold_s if self.is_cold and not self.received else 0.0

    def take(self, number: int, exchange: Exchange) -> None:
        """Keep the times of an answer, or why there is none."""
        taken = replace(taken_of(exchange), is_measured=number >= self.concurrency)
        self.silent = self.silent + 1 if taken.failure else 0
        self.failures[taken.failure] += 1
        if self.failures[taken.failure] <= KEPT:
            self.client.keep(exchange, exchange.request.body)
        elif taken.failure or taken.is_like(self.received[0].taken):
            taken = replace(taken, exchange=None)  # memory must not grow with the requests
        own_s = exchange.waited.own_s if exchange.waited is not None else None
        self.received.append(_Received(exchange.started_ns, exchange.finished_ns, own_s, taken))


def taken_of(exchange: Exchange) -> Taken:
    """What one exchange shows, without the waits for a processor."""
    reply = answer_to(exchange)
    if isinstance(reply, NoReply):
        failure, is_overload = failure_of(reply)
        return Taken(None, failure=failure, is_overload=is_overload, is_starved=exchange.is_starved, exchange=exchange)
    pauses = tuple((later - earlier) / NS for earlier, later in itertools.pairwise(reply.delta_ns))
    prompt = reply.usage.prompt if reply.usage else None
    return Taken(replace(from_reply(reply), waited={}), prompt, pauses, exchange=exchange)
