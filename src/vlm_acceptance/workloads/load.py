"""Many requests at once: which ones, how they are sent, and the watch for a hang."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vlm_acceptance.cases.large_pictures import large_url
from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import load as checks
from vlm_acceptance.checks.hang import RUNNING, Hang, Reading, counted_while_running, freed, hang_in, only_ours
from vlm_acceptance.checks.server_info import figure_of, figures_in
from vlm_acceptance.client.chat import chat_body, get
from vlm_acceptance.client.disconnecting import DisconnectingClient
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import Pool, send_all
from vlm_acceptance.client.processor import ProcessorClock
from vlm_acceptance.client.recording import RecordingClient, kind_of
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.errors import VlmAcceptanceError
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Reply, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.core.waiting import ProcessorReading, Waited, joined

TEXTS = (
    ("ok", "Reply with OK.", "OK", ()),
    ("sum", "What is 2 + 3? Answer with a number.", "5", ("2", "3")),
    ("capital", "What is the capital of France? Answer with one word.", "Paris", ()),
    ("count", "Count from 1 to 20.", "20", tuple(map(str, range(1, 21)))),
)
TEXT_TOKENS = 256
LARGE = "large"
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
POLL_S = 0.5
POLL_DEADLINE_S = 2.0
HBM_EVERY_S = 5.0
SLOTS_EVERY_S = 0.1
TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a load, and how its answer is judged; `is_new`: no answer of it may come from a prefix cache."""

    asked: checks.Asked
    body: dict[str, Any]
    is_new: bool = False

    def sent(self, chance: Chance) -> dict[str, Any]:
        """The body to send.

        A salt keeps the engine from finding a picture that it has read before, as it finds none of its users' photos.
        New pixels would do the same, but fill its cache of pictures, and its memory would grow as by a leak.
        """
        return {**self.body, "cache_salt": chance.hex(16)} if self.is_new else self.body


def jobs(
    model: str,
    categories: Sequence[Category],
    golden: Mapping[tuple[str, str], str],
    report_only: Collection[str] = (),
    seed: int = 0,
    large: Iterable[Job] = (),
) -> list[Job]:
    """Every capability picture once, eight texts and the jobs `large`, shuffled, every other one streamed.

    `golden` is that of golden_answers. Wrong answers of the categories in `report_only` do not count.
    """
    made = [*_picture_jobs(model, categories, golden, report_only), *_text_jobs(model, golden), *large]
    random.Random(seed).shuffle(made)  # noqa: S311  (a seeded order, no secret)
    return [replace(job, body={**job.body, **STREAMED}) if number % 2 else job for number, job in enumerate(made)]


def _picture_jobs(
    model: str, categories: Sequence[Category], golden: Mapping[tuple[str, str], str], report_only: Collection[str]
) -> Iterator[Job]:
    for category in categories:
        for question in category.questions:
            for picture in question.pictures:
                name, is_reported = f"{category.id}/{picture.path.stem}", category.id in report_only
                exact = golden.get((question.prompt, "/".join(picture.path.parts[-2:])))
                asked = checks.Asked(name, picture.parts, picture.visible, exact, report_only=is_reported)
                url = png_url(picture.path)
                yield Job(asked, chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens))


def large_jobs(
    model: str, categories: Sequence[Category], rule: TileRule | None, report_only: Collection[str] = ()
) -> Iterator[Job]:
    """Every second picture in many tiles, in sizes that vary; they are a category of their own."""
    for category in categories:
        for question in category.questions:
            for place, picture in list(enumerate(question.pictures))[1::2]:
                name, is_reported = f"{LARGE}/{category.id}/{picture.path.stem}", category.id in report_only
                asked = checks.Asked(name, picture.parts, picture.visible, report_only=is_reported)
                url = large_url(picture.path, rule, place)
                body = chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens)
                yield Job(asked, body, is_new=True)


def _text_jobs(model: str, golden: Mapping[tuple[str, str], str]) -> Iterator[Job]:
    for turn in (1, 2):
        for name, prompt, word, shown in TEXTS:
            exact = golden.get((prompt, ""))
            asked = checks.Asked(f"text/{name}-{turn}", ((word,),), frozenset(shown), exact, is_picture=False)
            yield Job(asked, chat_body(model, prompt, max_tokens=TEXT_TOKENS))


def mixed(all_jobs: Sequence[Job], size: int) -> list[Job]:
    """`size` of the jobs: a quarter texts, if there are so many, the others in equal parts of all categories."""
    texts = [job for job in all_jobs if not job.asked.is_picture][: size // 4]
    pictures = [job for job in all_jobs if job.asked.is_picture]
    rows = [[job for job in pictures if category_of(job) == name] for name in dict.fromkeys(map(category_of, pictures))]
    evenly = [job for turn in itertools.zip_longest(*rows) for job in turn if job is not None]
    chosen = {job.asked.id for job in [*texts, *evenly[: size - len(texts)]]}
    return [job for job in all_jobs if job.asked.id in chosen]


def category_of(job: Job) -> str:
    """The category of a job; `text` for one without a picture, `large` for one of many tiles."""
    return job.asked.id.partition("/")[0]


class Watchdog:
    """Reads `/metrics` in the background; `hang` is set when nothing has moved for `patience_s` seconds.

    `rss_mb` and `hbm_mb` read the memory of the engine and of its card; None or an error of ours means not observed.
    `least_s` is the minimum wait in seconds, whatever the patience, while a first request may still compile. `clock`
    reads the waits for a processor: `processors` are its readings, the first before and the last after all requests,
    without those of the reading threads.
    """

    def __init__(
        self,
        client: Client,
        patience_s: float,
        rss_mb: Callable[[], float | None] = lambda: None,
        hbm_mb: Callable[[], float | None] = lambda: None,
        clock: ProcessorClock | None = None,
    ) -> None:
        self.client = client
        self.clock = clock or ProcessorClock()
        self.processors: list[ProcessorReading] = []
        self.readings: list[Reading] = []
        self.hang: Hang | None = None
        self.least_s: Callable[[], float] = lambda: 0.0
        self._patience_s = patience_s
        self._rss_mb, self._hbm_mb = rss_mb, hbm_mb
        self._next_hbm_s = 0.0
        self._began = time.monotonic()
        self._broken: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has stopped watching by itself."""
        return self.hang is not None or self._broken is not None

    @contextlib.contextmanager
    def watching(self, counts: Callable[[], tuple[int, int]]) -> Iterator[None]:
        """Read every POLL_S seconds in a thread, whose error is raised at the end; `counts`: answered, in flight."""
        ended = threading.Event()
        self.processors.append(replace(self.clock.begin(), own_ns=None))

        def watch() -> None:
            try:
                while not ended.is_set() and self.hang is None:
                    next_s = time.monotonic() + POLL_S
                    # before the counts: an answer that ends this allowance is counted then, or a later reading has it
                    least_s = self.least_s()
                    self.look(*counts(), least_s)
                    ended.wait(max(0.0, next_s - time.monotonic()))
            except Exception as broken:  # noqa: BLE001  (raised in the caller's thread)
                self._broken = broken

        thread = threading.Thread(target=watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
        thread.join()
        self.processors.append(replace(self.clock.read(), own_ns=None))
        if self._broken is not None:
            raise self._broken

    def look(self, done: int, in_flight: int, least_s: float = 0.0) -> None:
        """One reading; `done` and `in_flight` count our requests, `least_s` is the minimum wait that held before."""
        figures = figures_in(self.client.send(get("/metrics", POLL_DEADLINE_S)))
        at_s = time.monotonic() - self._began
        hbm_mb = None
        if at_s >= self._next_hbm_s:  # seldom: it takes a second
            self._next_hbm_s = at_s + HBM_EVERY_S
            with contextlib.suppress(VlmAcceptanceError):  # a tool that fails once says nothing about the engine
                hbm_mb = self._hbm_mb()
        waits = self.clock.read()
        self.processors.append(replace(waits, own_ns=None))
        self.readings.append(Reading(at_s, figures, done, in_flight, self._rss_mb(), hbm_mb, waits))
        if self.hang is None:
            self.hang = hang_in(self.readings, max(self._patience_s, least_s))


class WarmupTracker:
    """Knows whether a kind of request is in flight that was never answered before and may have to compile."""

    def __init__(self, client: RecordingClient) -> None:
        self._client = client
        self._in_flight: set[str] = set()
        self._answered: set[str] = set()

    def least_s(self) -> float:
        """Seconds to wait at least before a hang is assumed."""
        return self._client.deadlines.cold_s if self._in_flight else 0.0

    def sent(self, body: dict[str, Any]) -> None:
        """A request with this body is sent."""
        kind = kind_of(body)
        if kind not in self._answered and not self._client.is_warm(kind):
            self._in_flight.add(kind)

    def received(self, body: dict[str, Any]) -> None:
        """A request with this body came back."""
        kind = kind_of(body)
        self._answered.add(kind)
        self._in_flight.discard(kind)


def send_watched(
    client: Client,
    numbered: Iterable[tuple[int, Request]],
    concurrency: int,
    take: Callable[[int, Exchange], None],
    watchdog: Watchdog,
) -> Hang | None:
    """Send numbered requests up to the last or to a hang, which is returned; `take` gets each number and exchange."""
    pool = Pool(lambda one: client.send(one[1]), numbered, concurrency, TICK_S)
    done = 0
    with watchdog.watching(lambda: (done, pool.in_flight)):
        for pair in pool:
            if watchdog.is_over:
                break
            if pair is not None:
                (number, _), exchange = pair
                done += exchange.error is None  # a request that timed out is no sign of life
                take(number, exchange)
    return watchdog.hang


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests sent at once: the exchanges by the request's number, and the hang that ended them, if any.

    The exchanges hold readings of the waits of the engine, too.
    """

    exchanges: dict[int, Exchange]
    hang: Hang | None

    @property
    def waits(self) -> list[Waited]:
        """What was waited for a processor during each request."""
        return [one.waited for one in self.exchanges.values() if one.waited is not None]

    def replies(self, numbers: Sequence[int]) -> list[Reply | NoReply]:
        """The answers to these requests."""
        return [answer_to(self.exchanges[n]) if n in self.exchanges else NoReply("given up") for n in numbers]


def answer_to(exchange: Exchange) -> Reply | NoReply:
    """The finished answer in an exchange, or why there is none."""
    return checks.finished(exchange.reply)


def burst(client: RecordingClient, bodies: Sequence[dict[str, Any]], patience_s: float) -> Burst:
    """All requests at the same time, watched; every exchange is recorded."""
    return client.observed("burst", Burst, lambda: _burst(client, bodies, patience_s), bodies)


def _burst(client: RecordingClient, bodies: Sequence[dict[str, Any]], patience_s: float) -> Burst:
    exchanges: dict[int, Exchange] = {}
    warmup = WarmupTracker(client)
    watchdog = Watchdog(client.http, patience_s, clock=client.clock)
    watchdog.least_s = warmup.least_s
    requests = [client.request(body) for body in bodies]
    for body in bodies:
        warmup.sent(body)

    def take(number: int, exchange: Exchange) -> None:
        exchanges[number] = exchange
        warmup.received(bodies[number])

    hang = send_watched(client.http, enumerate(requests), len(bodies), take, watchdog)
    seen = {number: _with_engine(one, watchdog.processors) for number, one in exchanges.items()}
    for number in sorted(seen):
        client.keep(seen[number], bodies[number])
    return Burst(seen, hang)


def _with_engine(exchange: Exchange, processors: Sequence[ProcessorReading]) -> Exchange:
    readings = joined(exchange.readings, processors, exchange.started_ns, exchange.finished_ns)
    return replace(exchange, readings=readings or exchange.readings)


@dataclass(frozen=True, slots=True)
class Disconnection:
    """Running requests by `/metrics` before, in mid-stream, and after (by seconds since); no exchange: nothing sent."""

    before: float | None
    during: tuple[float | None, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    after: tuple[tuple[float, float | None], ...] = ()

    def found(self, within_s: float) -> list[Finding]:
        """Slots that were not counted, or not freed within `within_s` seconds."""
        before = self.before or 0.0
        return [*counted_while_running(before, self.during), *freed(before, self.after, within_s)]

    @property
    def is_ours(self) -> bool:
        """Whether the figures can come from these clients alone, and from the engine that served them."""
        is_counted = not counted_while_running(self.before or 0.0, self.during)
        return self.before == 0 and is_counted and only_ours(self.after, len(self.exchanges))


def disconnect(
    client: RecordingClient, bodies: Sequence[dict[str, Any]], events: int, within_s: float, is_alone: bool
) -> Disconnection:
    """Start streams once nothing runs, disconnect each after `events` events, and see whether the slots are freed."""
    return client.observed(
        "disconnection", Disconnection, lambda: _disconnect(client, bodies, events, within_s, is_alone), bodies
    )


def _disconnect(
    client: RecordingClient, bodies: Sequence[dict[str, Any]], events: int, within_s: float, is_alone: bool
) -> Disconnection:
    before = until(client, lambda seen: seen == 0, within_s)[-1][1]
    if before is None or (before > 0 and not is_alone):
        return Disconnection(before)
    during: list[float | None] = []
    http = DisconnectingClient(client.http, events, lambda: during.append(running(client)))
    exchanges = send_all(http, [client.request(body) for body in bodies], len(bodies))
    last_ns = max(exchange.finished_ns for exchange in exchanges)
    late_s = (time.monotonic_ns() - last_ns) / NS
    after = until(client, lambda seen: seen is not None and seen <= (before or 0.0), within_s)
    for exchange, body in zip(exchanges, bodies, strict=True):
        client.keep(exchange, body)
    later = tuple((late_s + at_s, running) for at_s, running in after)
    return Disconnection(before, tuple(during), tuple(exchanges), later)


def running(client: RecordingClient) -> float | None:
    """Running requests by `/metrics`; None where it does not report them."""
    return figure_of(figures_in(client.get("/metrics")) or {}, RUNNING)


def until(
    client: RecordingClient,
    is_so: Callable[[float | None], bool],
    within_s: float,
    count: Callable[[RecordingClient], float | None] = running,
) -> list[tuple[float, float | None]]:
    """Running requests, or what else `count` gives, by seconds from now, until `is_so` or the time is over."""
    began = time.monotonic()
    seen: list[tuple[float, float | None]] = []
    while not seen or (seen[-1][0] < within_s and not is_so(seen[-1][1])):
        if seen:
            time.sleep(SLOTS_EVERY_S)
        at_s = time.monotonic() - began
        seen.append((at_s, count(client)))
    return seen
