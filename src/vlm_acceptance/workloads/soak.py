"""The soak: a mixed load for minutes. Answers are judged as they come; times and memory are followed over the run."""

from __future__ import annotations

import itertools
import random
import time
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vlm_acceptance.checks.hang import Hang, Reading
from vlm_acceptance.checks.latency import Sample, from_reply, waits_of, without_waits
from vlm_acceptance.checks.load import at_least, fault_of, good, percentiles, within
from vlm_acceptance.checks.trends import can_drift, drift, drift_of, growth, shown
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.config.profile_sections import LoadBudgets
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.waiting import ProcessorReading, Waited, explained_share
from vlm_acceptance.workloads.load import Job, WarmupTracker, Watchdog, answer_to, send_watched

# after so many requests in a row without an answer the rest would show nothing new
SILENT_IN_A_ROW = 64
KEPT = 32
# so that a rate over a time that waiting explains wholly is a number
LEAST_S = 1e-6
TIMES = {"ttft_s": "ttft", "tpot_s": "tpot", "e2e_s": "e2e"}


@dataclass(frozen=True, slots=True)
class Served:
    """What is kept of one answer: when it was sent (seconds of the soak), times, fault, and whether it counts.

    `own_s` is what the thread that sent it waited for a processor; None if that was not read. `starved`: it was not
    answered in time because the machine was busy.
    """

    began_s: float
    sample: Sample | None
    fault: Finding | None
    counted: bool = True
    own_s: float | None = None
    starved: bool = False


@dataclass
class Soak:
    """The outcome of a soak; `itl` holds the seconds between the text chunks of all streamed answers.

    `given_up_busy`: at least half of the requests that got no answer before it was given up were starved. `processors`
    are readings of the engine's waits for a processor, from `began_ns` (monotonic) to the end.
    """

    served: list[Served] = field(default_factory=list)
    itl: array[float] = field(default_factory=lambda: array("d"))
    readings: list[Reading] = field(default_factory=list)
    hang: Hang | None = None
    seconds: float = 0.0
    given_up: str = ""
    given_up_busy: bool = False
    processors: list[ProcessorReading] = field(default_factory=list)
    began_ns: int = 0

    def without_waits(self) -> Soak:
        """The same soak, its times without what waiting for a processor explains; the whole and gaps by its share."""
        left = max(0.0, 1 - explained_share(self.waits))
        return replace(
            self,
            served=[replace(one, sample=self._rest(one)) for one in self.served],
            itl=array("d", (gap * left for gap in self.itl)),
            seconds=max(self.seconds * left, LEAST_S),
        )

    def _rest(self, one: Served) -> Sample | None:
        if one.sample is None:
            return None
        return without_waits(one.sample, self._waited(one))

    def _waited(self, one: Served) -> dict[str, Waited]:
        if one.sample is None:
            return {}
        return waits_of(one.sample, self.processors, self.began_ns + round(one.began_s * NS), one.own_s)

    @property
    def waits(self) -> list[Waited]:
        """What was waited for a processor during each answer, where it was read."""
        return [waited["e2e_s"] for one in self.served if (waited := self._waited(one))]

    @property
    def samples(self) -> list[Sample]:
        """Times of all answers."""
        return [one.sample for one in self.served if one.sample is not None]

    @property
    def faults(self) -> list[Finding]:
        """Faults of answers, missing answers included, but not those of starved requests."""
        return [one.fault for one in self.served if one.fault is not None and not one.starved]

    @property
    def starved(self) -> int:
        """How many requests were not answered in time because the machine was busy."""
        return sum(one.starved for one in self.served)

    @property
    def answered(self) -> int:
        """How many answers came of the categories that count."""
        return sum(one.sample is not None and one.counted for one in self.served)

    @property
    def tokens(self) -> int:
        """Output tokens of all answers that report them."""
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
    jobs: Sequence[Job],
    seconds: float,
    concurrency: int,
    watchdog: Watchdog,
    special_tokens: Sequence[str] = (),
    *,
    seed: int = 0,
) -> Soak:
    """The jobs round after round, each shuffled anew, for `seconds`, or until nothing is answered any more.

    Records the first round and the first few faults. EnvironmentProblem when no request was sent at all.
    """
    bodies = [job.body for job in jobs]
    return client.observed(
        "soak",
        Soak,
        lambda: _soak(client, jobs, seconds, concurrency, watchdog, special_tokens, seed),
        bodies,
        lambda made: replace(made, readings=[replace(one, figures=None) for one in made.readings]),
    )


def _soak(
    client: RecordingClient,
    jobs: Sequence[Job],
    seconds: float,
    concurrency: int,
    watchdog: Watchdog,
    special_tokens: Sequence[str],
    seed: int,
) -> Soak:
    run = _Run(client, jobs, seconds, special_tokens, Chance(f"{seed} soak"))
    watchdog.least_s = run.warmup.least_s
    run.result.hang = send_watched(client.http, run.requests(), concurrency, run.take, watchdog)
    run.result.seconds = run.now_s()
    run.result.readings, run.result.processors = watchdog.readings, watchdog.processors
    run.result.began_ns = run.began_ns
    if not run.result.served and run.result.hang is None:
        raise EnvironmentProblem(f"the soak of {seconds:g} s was over before one request was: nothing to judge")
    return run.result


class _Run:
    """A soak that is going on."""

    def __init__(
        self,
        client: RecordingClient,
        jobs: Sequence[Job],
        seconds: float,
        special_tokens: Sequence[str],
        chance: Chance,
    ) -> None:
        self.result = Soak()
        self.warmup = WarmupTracker(client)
        self._client = client
        self._jobs = jobs
        self._everyone = [job.asked for job in jobs]
        self._special_tokens = special_tokens
        self._seconds = seconds
        self._chance = chance
        self.began_ns = time.monotonic_ns()
        self._faults = self._silent = self._silent_busy = 0

    def now_s(self) -> float:
        """Seconds since the soak began."""
        return (time.monotonic_ns() - self.began_ns) / NS

    def requests(self) -> Iterator[tuple[int, Request]]:
        """Numbered requests; the number modulo the count of jobs is the job's."""
        for turn in itertools.count():
            order = list(range(len(self._jobs)))
            random.Random(turn).shuffle(order)  # noqa: S311  (a seeded order, no secret)
            for index in order:
                if self.now_s() >= self._seconds or self.result.given_up:
                    return
                body = self._jobs[index].sent(self._chance)
                self.warmup.sent(body)
                # built right before it is sent: its deadline depends on what is warm by then
                yield turn * len(order) + index, self._client.request(body)

    def take(self, number: int, exchange: Exchange) -> None:
        """Judge and count one exchange."""
        job, reply = self._jobs[number % len(self._jobs)], answer_to(exchange)
        self.warmup.received(job.body)
        fault = fault_of(job.asked, reply, self._everyone, self._special_tokens)
        self._faults += fault is not None
        is_kept = fault is not None and self._faults <= KEPT
        if fault is not None and not is_kept:
            fault = fault.about(None)  # memory must not grow with the faults
        # what it waited is known from `own_s` and the readings of the whole soak: memory must not grow with the answers
        sample = None if isinstance(reply, NoReply) else replace(from_reply(reply), waited={})
        began_s = (exchange.started_ns - self.began_ns) / NS
        own_s = exchange.waited.own_s if exchange.waited is not None else None
        self.result.served.append(Served(began_s, sample, fault, not job.asked.report_only, own_s, exchange.is_starved))
        if isinstance(reply, NoReply):
            self._silent += 1
            self._silent_busy += exchange.is_starved
            if self._silent >= SILENT_IN_A_ROW:
                self.result.given_up = f"{SILENT_IN_A_ROW} requests in a row got no answer, the last: {reply}"
                self.result.given_up_busy = 2 * self._silent_busy >= self._silent
        else:
            self._silent = self._silent_busy = 0
            self.result.itl.extend((b - a) / NS for a, b in itertools.pairwise(reply.delta_ns))
        if number < len(self._jobs) or is_kept:
            self._client.keep(exchange, job.body)


def beyond(soak: Soak, budgets: LoadBudgets, latency: Budget) -> list[Finding]:
    """Percentiles, throughput and goodput of a soak that are not within the budgets; goodput counts by `latency`."""
    found = []
    for name, short in TIMES.items():
        found += within(getattr(budgets, name), percentiles(soak.times(name)), short)
    found += within(budgets.itl_s, percentiles(soak.itl), "itl")
    goodput = good(soak.samples, latency) / max(1, len(soak.served))
    found += at_least("goodput", goodput, budgets.goodput, "of the requests within the latency budgets")
    for name, (rate, unit) in rates(soak).items():
        found += at_least(name, rate, getattr(budgets, name), unit)
    return found


def rates(soak: Soak) -> dict[str, tuple[float, str]]:
    """Answers and output tokens a second, each with its unit."""
    return {
        "requests_per_s": (len(soak.samples) / soak.seconds, "answers a second"),
        "output_tokens_per_s": (soak.tokens / soak.seconds, "output tokens a second"),
    }


def drifts(soak: Soak, budget: float, optional: Collection[str] = ("tpot",)) -> list[Finding]:
    """Times that grow during a soak; those in `optional` only if there are enough to judge."""
    found = []
    for name, short in TIMES.items():
        points = soak.points(name)
        if short not in optional or can_drift(points):
            found += drift(points, short, budget)
    return found


def figures(soak: Soak, budget: Budget) -> dict[str, Any]:
    """What a report shows of a soak: rates, goodput, percentiles with their number of samples, drift."""
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
    """First and last megabytes and the slope in kilobytes per request, of the memories that were observed."""
    row = {}
    for name in ("rss_mb", "hbm_mb"):
        requests, megabytes = soak.memory(name)
        line = growth(requests, megabytes)
        if line is not None:
            row[name] = f"{megabytes[0]:.1f} to {megabytes[-1]:.1f}"
            row[f"{name.removesuffix('_mb')}_kb_per_request"] = shown(line)
    return row
