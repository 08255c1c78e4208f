"""Many requests at once: which ones, sent how, and watched for a hang."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import load as checks
from vlm_acceptance.checks.hang import RUNNING, Hang, Reading, counted_while_running, freed, hang_in, only_ours
from vlm_acceptance.checks.models import figure_of, figures_in
from vlm_acceptance.client.chat import chat_body, get
from vlm_acceptance.client.direct import direct
from vlm_acceptance.client.disconnecting import DisconnectingClient
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import send_all
from vlm_acceptance.client.recording import RecordingClient, kind_of
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.errors import HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Reply, Request
from vlm_acceptance.core.finding import Finding

TEXTS = (
    ("ok", "Reply with OK.", "OK", ()),
    ("sum", "What is 2 + 3? Answer with a number.", "5", ("2", "3")),
    ("capital", "What is the capital of France? Answer with one word.", "Paris", ()),
    ("count", "Count from 1 to 20.", "20", tuple(map(str, range(1, 21)))),
)
TEXT_TOKENS = 256
POLL_S = 0.5
POLL_DEADLINE_S = 2.0
HBM_EVERY_S = 5.0
LEFT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a load, and what its answer is judged by."""

    asked: checks.Asked
    body: dict[str, Any]


def jobs(
    model: str,
    categories: Sequence[Category],
    known: dict[tuple[str, str], str],
    demoted: Collection[str] = (),
    seed: int = 0,
) -> list[Job]:
    """Every capability picture once and one text in seven, shuffled, every other one streamed.

    `known` holds exact answers by prompt and picture file (names as in `fixtures/images`, '' for none); `demoted` are
    categories whose answers do not count.
    """
    made = [_picture_job(model, c, n, known, k) for c in categories for n in range(len(c.questions)) for k in range(8)]
    made = [replace(job, asked=replace(job.asked, demoted=category_of(job) in demoted)) for job in made]
    made += [
        Job(
            checks.Asked(
                f"text/{name}-{turn}", ((word,),), frozenset(shown), known.get((prompt, "")), is_picture=False
            ),
            chat_body(model, prompt, max_tokens=TEXT_TOKENS),
        )
        for turn in (1, 2)
        for name, prompt, word, shown in TEXTS
    ]
    random.Random(seed).shuffle(made)  # noqa: S311  (a seeded order, no secret)
    return [_streamed(job) if number % 2 else job for number, job in enumerate(made)]


def _picture_job(model: str, category: Category, number: int, known: dict[tuple[str, str], str], index: int) -> Job:
    question = category.questions[number]
    picture = question.pictures[index]
    name = "/".join(picture.path.parts[-2:])
    asked = checks.Asked(
        f"{category.id}/{picture.path.stem}", picture.parts, picture.visible, known.get((question.prompt, name))
    )
    return Job(asked, chat_body(model, question.prompt, (png_url(picture.path),), max_tokens=question.max_tokens))


def _streamed(job: Job) -> Job:
    return Job(job.asked, {**job.body, "stream": True, "stream_options": {"include_usage": True}})


def mixed(made: Sequence[Job], size: int) -> list[Job]:
    """So many of the jobs, a quarter of them texts as far as there are any, the others of all categories alike."""
    texts = [job for job in made if not job.asked.is_picture][: size // 4]
    pictures = [job for job in made if job.asked.is_picture]
    rows = [[job for job in pictures if category_of(job) == name] for name in dict.fromkeys(map(category_of, pictures))]
    evenly = [job for turn in itertools.zip_longest(*rows) for job in turn if job is not None]
    chosen = {job.asked.id for job in [*texts, *evenly[: size - len(texts)]]}
    return [job for job in made if job.asked.id in chosen]


def category_of(job: Job) -> str:
    """The category that a job is of; `text` for one without a picture."""
    return job.asked.id.partition("/")[0]


def known_answers(path: Path) -> dict[tuple[str, str], str]:
    """Exact answers by prompt and picture ('' for none), of the rows with one picture or none."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return {(row["prompt"], "".join(row["pictures"])): row["answer"] for row in rows if len(row["pictures"]) < 2}


class Watchdog:
    """Reads `/metrics` in the background; `hang` is set once nothing has moved for `patience_s` seconds.

    `rss_mb` and `hbm_mb` are asked for memory at every reading, the second one seldom: it costs a second. Where they
    fail, nothing was seen. `least_s` says how long must be waited for now, whatever the patience: something compiles.
    """

    def __init__(
        self,
        client: Client,
        patience_s: float,
        rss_mb: Callable[[], float | None] = lambda: None,
        hbm_mb: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.client = client
        self.readings: list[Reading] = []
        self.hang: Hang | None = None
        self.least_s: Callable[[], float] = lambda: 0.0
        self._patience_s = patience_s
        self._rss_mb, self._hbm_mb = rss_mb, hbm_mb
        self._next_hbm_s = 0.0
        self._began = time.monotonic()

    def look(self, done: int, in_flight: int) -> None:
        """One reading; `done` and `in_flight` count requests of ours."""
        figures = figures_in(self.client.send(get("/metrics", POLL_DEADLINE_S)))
        at_s = time.monotonic() - self._began
        hbm_mb = None
        if at_s >= self._next_hbm_s:
            self._next_hbm_s = at_s + HBM_EVERY_S
            with contextlib.suppress(VlmAcceptanceError):  # a tool that fails once tells nothing about the engine
                hbm_mb = self._hbm_mb()
        self.readings.append(Reading(at_s, figures, done, in_flight, self._rss_mb(), hbm_mb))
        if self.hang is None:
            self.hang = hang_in(self.readings, max(self._patience_s, self.least_s()))


class WarmupTracker:
    """Kinds of requests that may have to compile first: from when one is sent until one of them comes back."""

    def __init__(self, client: RecordingClient) -> None:
        self._client = client
        self._out: set[str] = set()
        self._seen: set[str] = set()

    def least_s(self) -> float:
        """Seconds that must be waited for now."""
        return self._client.deadlines.cold_s if self._out else 0.0

    def went(self, body: dict[str, Any]) -> None:
        """A request with this body is sent."""
        kind = kind_of(body)
        if kind not in self._seen and not self._client.is_warm(kind):
            self._out.add(kind)

    def came(self, body: dict[str, Any]) -> None:
        """A request with this body came back."""
        kind = kind_of(body)
        self._seen.add(kind)
        self._out.discard(kind)


class Load:
    """Keeps `concurrency` requests out until there are no more, or a hang: what is out then is given up.

    `take` gets every exchange with the number of its request, from the sending thread.
    """

    def __init__(self, client: Client, concurrency: int, take: Callable[[int, Exchange], None], dog: Watchdog) -> None:
        self._client = client
        self._concurrency = concurrency
        self._take = take
        self._dog = dog
        self._lock = threading.Lock()
        self._ended = 0
        self._broken: Exception | None = None
        self.done = self.in_flight = 0
        self.closed = threading.Event()

    def run(self, requests: Iterator[tuple[int, Request]]) -> Hang | None:
        """Send everything; the hang that ended it, or None. Whatever breaks a thread of ours ends it and is raised."""
        # daemons: neither a hang nor Ctrl-C waits for an endpoint that does not answer
        threads = [
            threading.Thread(target=self._drain, args=(requests,), name="load", daemon=True)
            for _ in range(self._concurrency)
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads)
        finally:
            self.closed.set()
        if self._broken is not None:
            raise self._broken
        if self._dog.hang is None and self._ended < self._concurrency:
            raise HarnessProblem(f"{self._concurrency - self._ended} of {self._concurrency} threads of a load broke")
        return self._dog.hang

    def _watch(self, threads: Sequence[threading.Thread]) -> None:
        next_look = 0.0
        while self._broken is None and any(thread.is_alive() for thread in threads):
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + POLL_S
                self._dog.look(self.done, self.in_flight)
                if self._dog.hang is not None:
                    return
            next((thread for thread in threads if thread.is_alive()), threads[0]).join(0.02)

    def _drain(self, requests: Iterator[tuple[int, Request]]) -> None:
        try:
            self._send_all(requests)
        except Exception as broken:  # noqa: BLE001  (nobody sees what a thread raises: `run` raises it)
            self._broken = self._broken or broken
            self.closed.set()

    def _send_all(self, requests: Iterator[tuple[int, Request]]) -> None:
        while not self.closed.is_set():
            with self._lock:
                following = next(requests, None)
                if following is None:
                    break
                self.in_flight += 1
            number, request = following
            exchange = self._client.send(request)
            with self._lock:
                self.in_flight -= 1
                self.done += exchange.error is None  # one that timed out shows no life
                if not self.closed.is_set():
                    self._take(number, exchange)
        with self._lock:
            self._ended += 1


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests sent at once: the exchanges that came, by the request's number, and the hang that ended them."""

    exchanges: dict[int, Exchange]
    hang: Hang | None

    def replies(self, numbers: Sequence[int]) -> list[Reply | NoReply]:
        """The answers to these requests."""
        return [answer_to(self.exchanges[n]) if n in self.exchanges else NoReply("given up") for n in numbers]


def answer_to(exchange: Exchange) -> Reply | NoReply:
    """The finished answer in an exchange, or why there is none."""
    return checks.finished(exchange.reply)


def burst(client: RecordingClient, bodies: Sequence[dict[str, Any]], patience_s: float) -> Burst:
    """All requests at the same time, watched; every exchange is recorded."""
    seen: dict[int, Exchange] = {}
    requests = [client.request(body) for body in bodies]
    cheap, cold = direct(client.http), WarmupTracker(client)
    for body in bodies:
        cold.went(body)
    dog = Watchdog(cheap, patience_s)
    dog.least_s = cold.least_s

    def take(number: int, exchange: Exchange) -> None:
        seen[number] = exchange
        cold.came(bodies[number])

    hang = Load(cheap, len(bodies), take, dog).run(iter(list(enumerate(requests))))
    for number in sorted(seen):
        client.keep(seen[number], bodies[number])
    return Burst(seen, hang)


@dataclass(frozen=True, slots=True)
class Left:
    """Clients that left: running requests by `/metrics` before, in mid-stream, and after, by seconds since.

    Without exchanges nobody asked: others kept the endpoint busy.
    """

    before: float | None
    during: tuple[float | None, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    after: tuple[tuple[float, float | None], ...] = ()

    def found(self, within_s: float) -> list[Finding]:
        """Slots that were not counted, or not freed in time."""
        before = self.before or 0.0
        return [*counted_while_running(before, self.during), *freed(before, self.after, within_s)]

    @property
    def is_ours(self) -> bool:
        """Whether the figures can be of these clients alone, on the engine that served them."""
        is_counted = not counted_while_running(self.before or 0.0, self.during)
        return self.before == 0 and is_counted and only_ours(self.after, len(self.exchanges))


def leave(
    client: RecordingClient, bodies: Sequence[dict[str, Any]], events: int, within_s: float, is_alone: bool
) -> Left:
    """Ask for streams and leave each after so many events, once nothing runs; see whether the slots are freed.

    An endpoint of others that stays busy for `within_s` seconds is not asked.
    """
    before = _until(client, lambda running: running == 0, within_s)[-1][1]
    if before is None or (before > 0 and not is_alone):
        return Left(before)
    during: list[float | None] = []
    leaving = DisconnectingClient(
        client.http.base_url, client.http.api_key, events, lambda: during.append(_running(client))
    )
    exchanges = send_all(leaving, [client.request(body) for body in bodies], len(bodies))
    last = max(exchange.finished_ns for exchange in exchanges)
    late_s = (time.monotonic_ns() - last) / NS
    after = _until(client, lambda running: running is not None and running <= (before or 0.0), within_s)
    for exchange, body in zip(exchanges, bodies, strict=True):
        client.keep(exchange, body)
    return Left(before, tuple(during), tuple(exchanges), tuple((late_s + at_s, running) for at_s, running in after))


def _until(
    client: RecordingClient, is_so: Callable[[float | None], bool], within_s: float
) -> list[tuple[float, float | None]]:
    """Running requests by seconds from now, until they are so or the time is over."""
    began = time.monotonic()
    seen: list[tuple[float, float | None]] = []
    while not seen or (seen[-1][0] < within_s and not is_so(seen[-1][1])):
        if seen:
            time.sleep(LEFT_EVERY_S)
        at_s = time.monotonic() - began
        seen.append((at_s, _running(client)))
    return seen


def _running(client: RecordingClient) -> float | None:
    """Running requests by `/metrics`; None where it does not say."""
    return figure_of(figures_in(client.get("/metrics")) or {}, RUNNING)
