"""The soak: the same mixed load for minutes, answers judged and counted as they come, memory and times over the run."""

from __future__ import annotations

import itertools
import random
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.checks.hang import Hang, Reading
from vlm_acceptance.checks.latency import Budget, Sample, from_reply
from vlm_acceptance.checks.load import fault_of, good, percentiles
from vlm_acceptance.checks.trends import drift_of, growth, shown
from vlm_acceptance.client.direct import direct
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads.load import Job, Load, WarmupTracker, Watchdog, answer_to

# so many requests in a row without an answer: the rest would say nothing new
SILENT_IN_A_ROW = 64
KEPT = 32
TIMES = {"ttft_s": "ttft", "tpot_s": "tpot", "e2e_s": "e2e"}


@dataclass(frozen=True, slots=True)
class Served:
    """What is kept of one answer: when it was asked for (seconds of the soak), times, what was wrong.

    An answer that is not `counted` is of a demoted category.
    """

    began_s: float
    sample: Sample | None
    fault: Finding | None
    counted: bool = True


@dataclass
class Soak:
    """What a soak came to; `itl` holds the seconds between the text chunks of all streamed answers."""

    served: list[Served] = field(default_factory=list)
    itl: array[float] = field(default_factory=lambda: array("d"))
    readings: list[Reading] = field(default_factory=list)
    hang: Hang | None = None
    seconds: float = 0.0
    given_up: str = ""

    @property
    def samples(self) -> list[Sample]:
        """Times of all answers."""
        return [one.sample for one in self.served if one.sample is not None]

    @property
    def faults(self) -> list[Finding]:
        """What was wrong with answers, missing ones included."""
        return [one.fault for one in self.served if one.fault is not None]

    @property
    def answered(self) -> int:
        """How many answers came that count."""
        return sum(one.sample is not None and one.counted for one in self.served)

    @property
    def tokens(self) -> int:
        """Output tokens of all answers, as far as they were told."""
        return sum(sample.tokens or 0 for sample in self.samples)

    def times(self, name: str) -> list[float]:
        """One figure of all samples that have it, in seconds."""
        return [value for _, value in self.points(name)]

    def points(self, name: str) -> list[tuple[float, float]]:
        """One figure of all samples that have it, each with the second at which its request began."""
        return [
            (one.began_s, value)
            for one in self.served
            if one.sample is not None and (value := getattr(one.sample, name)) is not None
        ]

    def memory(self, name: str) -> tuple[list[float], list[float]]:
        """Requests done and megabytes, at every reading that has them; `name` is rss_mb or hbm_mb."""
        seen = [(reading.done, mb) for reading in self.readings if (mb := getattr(reading, name)) is not None]
        return [float(done) for done, _ in seen], [mb for _, mb in seen]


def soak(
    client: RecordingClient,
    made: Sequence[Job],
    seconds: float,
    concurrency: int,
    dog: Watchdog,
    special_tokens: Sequence[str] = (),
) -> Soak:
    """The jobs round after round, each shuffled anew, for so many seconds, or until nothing is answered any more.

    The exchanges of the first round are recorded, and the first few that went wrong. EnvironmentProblem when it came to
    no request at all.
    """
    run = _Run(client, made, seconds, special_tokens)
    dog.least_s = run.cold.least_s
    load = Load(direct(client.http), concurrency, run.take, dog)
    run.result.hang = load.run(run.requests())
    run.result.seconds = run.now_s()
    run.result.readings = dog.readings
    if not run.result.served and run.result.hang is None:
        raise EnvironmentProblem(f"the soak of {seconds:g} s was over before one request was: nothing to judge")
    return run.result


class _Run:
    """One soak on its way; `take` is called by one thread at a time."""

    def __init__(
        self, client: RecordingClient, made: Sequence[Job], seconds: float, special_tokens: Sequence[str]
    ) -> None:
        self.result = Soak()
        self._client = client
        self._made = made
        self.cold = WarmupTracker(client)
        self._everyone = [job.asked for job in made]
        self._special_tokens = special_tokens
        self._seconds = seconds
        self._began_ns = time.monotonic_ns()
        self._faults = self._silent = 0

    def now_s(self) -> float:
        """Seconds since the soak began."""
        return (time.monotonic_ns() - self._began_ns) / NS

    def requests(self) -> Iterator[tuple[int, Request]]:
        """Numbered requests; the number modulo the count of jobs is the job's."""
        for turn in itertools.count():
            order = list(range(len(self._made)))
            random.Random(turn).shuffle(order)  # noqa: S311  (a seeded order, no secret)
            for index in order:
                if self.now_s() >= self._seconds or self.result.given_up:
                    return
                self.cold.went(self._made[index].body)
                # made now: its deadline is that of a kind that is warm by now
                yield turn * len(order) + index, self._client.request(self._made[index].body)

    def take(self, number: int, exchange: Exchange) -> None:
        """One exchange more."""
        job, reply = self._made[number % len(self._made)], answer_to(exchange)
        self.cold.came(job.body)
        fault = fault_of(job.asked, reply, self._everyone, self._special_tokens)
        self._faults += fault is not None
        is_kept = fault is not None and self._faults <= KEPT
        if fault is not None and not is_kept:
            fault = fault.about(None)  # memory must not grow with the faults
        sample = None if isinstance(reply, NoReply) else from_reply(reply)
        began_s = (exchange.started_ns - self._began_ns) / NS
        self.result.served.append(Served(began_s, sample, fault, not job.asked.demoted))
        if isinstance(reply, NoReply):
            self._silent += 1
            if self._silent >= SILENT_IN_A_ROW:
                self.result.given_up = f"{SILENT_IN_A_ROW} requests in a row got no answer, the last: {reply}"
        else:
            self._silent = 0
            self.result.itl.extend((b - a) / NS for a, b in itertools.pairwise(reply.delta_ns))
        if number < len(self._made) or is_kept:
            self._client.keep(exchange, job.body)


def figures(soak: Soak, budget: Budget) -> dict[str, Any]:
    """What is reported of a soak, whatever was judged: rates, goodput, percentiles with their samples, drift."""
    seconds, answers = soak.seconds or 1.0, len(soak.samples)
    right = good(soak.samples, budget)
    row: dict[str, Any] = {
        "seconds": f"{soak.seconds:.1f}",
        "requests": len(soak.served),
        "unanswered": len(soak.served) - answers,
        "requests_per_s": f"{answers / seconds:.2f}",
        "output_tokens_per_s": f"{soak.tokens / seconds:.1f}",
        "goodput": f"{right} of {answers} within the latency budgets, {right / seconds:.2f} a second",
    }
    for name, short in TIMES.items():
        row[short] = percentiles(soak.times(name))
        change = drift_of(soak.points(name))
        if change is not None:
            row[f"{short}_drift"] = f"{change.value:+.1%} (99 % interval {change.low:+.1%} to {change.high:+.1%})"
    return {**row, "itl": percentiles(soak.itl)}


def memory_figures(soak: Soak) -> dict[str, str]:
    """First and last megabytes and the slope in kilobytes a request, of what was sampled."""
    row = {}
    for name in ("rss_mb", "hbm_mb"):
        requests, megabytes = soak.memory(name)
        line = growth(requests, megabytes)
        if line is not None:
            row[name] = f"{megabytes[0]:.1f} to {megabytes[-1]:.1f}"
            row[f"{name.removesuffix('_mb')}_kb_per_request"] = shown(line)
    return row
