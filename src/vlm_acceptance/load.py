"""Many requests at once: which ones, sent how, and watched for a hang."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vlm_acceptance.asker import Asker
from vlm_acceptance.case import Category
from vlm_acceptance.checks import load as checks
from vlm_acceptance.checks.hang import Hang, Reading, hang_in
from vlm_acceptance.checks.models import metrics
from vlm_acceptance.client.direct import direct
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.messages import chat_body, get, png_url
from vlm_acceptance.errors import HarnessProblem, NoReply
from vlm_acceptance.exam import answer_of
from vlm_acceptance.exchange import Exchange, Request
from vlm_acceptance.reply import Reply

TEXTS = (
    ("ok", "Reply with OK.", "OK"),
    ("sum", "What is 2 + 3? Answer with a number.", "5"),
    ("capital", "What is the capital of France? Answer with one word.", "Paris"),
    ("count", "Count from 1 to 20.", "20"),
)
TEXT_TOKENS = 96
POLL_S = 0.5
POLL_DEADLINE_S = 2.0
HBM_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """One request of a load, and what its answer is judged by."""

    asked: checks.Asked
    body: dict[str, Any]


def jobs(model: str, categories: Sequence[Category], known: dict[tuple[str, str], str], seed: int = 0) -> list[Job]:
    """Every capability picture once and one text in seven, shuffled, every other one streamed.

    `known` holds exact answers by prompt and picture file (names as in `fixtures/images`, '' for none).
    """
    made = [_picture_job(model, c, n, known, k) for c in categories for n in range(len(c.questions)) for k in range(8)]
    made += [
        Job(
            checks.Asked(f"text/{name}-{turn}", ((word,),), known=known.get((prompt, "")), is_picture=False),
            chat_body(model, prompt, max_tokens=TEXT_TOKENS),
        )
        for turn in (1, 2)
        for name, prompt, word in TEXTS
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
    """So many of the jobs, a quarter of them texts as far as there are any."""
    texts = [job for job in made if not job.asked.is_picture][: size // 4]
    pictures = [job for job in made if job.asked.is_picture][: size - len(texts)]
    chosen = {job.asked.id for job in [*texts, *pictures]}
    return [job for job in made if job.asked.id in chosen]


def known_answers(path: Path) -> dict[tuple[str, str], str]:
    """Exact answers by prompt and picture ('' for none), of the rows with one picture or none."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return {(row["prompt"], "".join(row["pictures"])): row["answer"] for row in rows if len(row["pictures"]) < 2}


def resident_mb(processes: Sequence[psutil.Process]) -> float | None:
    """Resident memory of living processes together, in MB (2**20); None without any."""
    seen = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            seen.append(process.memory_info().rss)
    return sum(seen) / (1 << 20) if seen else None


class Watchdog:
    """Reads `/metrics` in the background; `hang` is set once nothing has moved for `patience_s` seconds.

    `rss_mb` and `hbm_mb` are asked for memory at every reading, the second one seldom: it costs a second.
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
        self._patience_s = patience_s
        self._rss_mb, self._hbm_mb = rss_mb, hbm_mb
        self._next_hbm_s = 0.0
        self._began = time.monotonic()

    def look(self, done: int, in_flight: int) -> None:
        """One reading; `done` and `in_flight` count requests of ours."""
        figures = self._figures()
        at_s = time.monotonic() - self._began
        hbm_mb = None
        if at_s >= self._next_hbm_s:
            hbm_mb, self._next_hbm_s = self._hbm_mb(), at_s + HBM_EVERY_S
        self.readings.append(Reading(at_s, figures, done, in_flight, self._rss_mb(), hbm_mb))
        if self.hang is None:
            self.hang = hang_in(self.readings, self._patience_s)

    def _figures(self) -> dict[str, float] | None:
        page = self.client.send(get("/metrics", POLL_DEADLINE_S))
        if page.status != 200 or page.error is not None:
            return None
        try:
            return metrics(page.body.decode("utf-8", "replace"))
        except ValueError:
            return None


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
        self.done = self.in_flight = 0
        self.closed = threading.Event()

    def run(self, requests: Iterator[tuple[int, Request]]) -> Hang | None:
        """Send everything; the hang that ended it, or None. HarnessProblem when a thread of ours broke."""
        # daemons: neither a hang nor Ctrl-C waits for an endpoint that does not answer
        threads = [
            threading.Thread(target=self._drain, args=(requests,), name="load", daemon=True)
            for _ in range(self._concurrency)
        ]
        for thread in threads:
            thread.start()
        next_look = 0.0
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + POLL_S
                self._dog.look(self.done, self.in_flight)
                if self._dog.hang is not None:
                    self.closed.set()
                    return self._dog.hang
            next((thread for thread in threads if thread.is_alive()), threads[0]).join(0.02)
        if self._ended < self._concurrency:
            raise HarnessProblem(f"{self._concurrency - self._ended} of {self._concurrency} threads of a load broke")
        return None

    def _drain(self, requests: Iterator[tuple[int, Request]]) -> None:
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
                self.done += 1
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
        return [answer_of(self.exchanges[n]) if n in self.exchanges else NoReply("given up") for n in numbers]


def burst(ask: Asker, bodies: Sequence[dict[str, Any]], patience_s: float) -> Burst:
    """All requests at the same time, watched; every exchange is recorded."""
    seen: dict[int, Exchange] = {}
    requests = [ask.request(body) for body in bodies]
    cheap = direct(ask.client)
    hang = Load(cheap, len(bodies), seen.__setitem__, Watchdog(cheap, patience_s)).run(iter(list(enumerate(requests))))
    for number in sorted(seen):
        ask.keep(seen[number], bodies[number])
    return Burst(seen, hang)
