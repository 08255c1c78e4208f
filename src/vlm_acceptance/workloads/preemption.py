"""More long texts at once than the cache holds, and questions with known answers among them: the engine preempts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.checks.hang import Hang
from vlm_acceptance.checks.server_info import figure_of, figures_in
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Reply, Request
from vlm_acceptance.workloads.load import STREAMED, Job, WarmupTracker, Watchdog, answer_to, send_watched

PREEMPTIONS = "vllm:num_preemptions"
CONCURRENCY = 16
# texts that fill the cache, before the first question; after them every third request
FIRST_TEXTS, TEXT_EVERY = 10, 3
USUAL_TOKENS = 800
# of wrong texts that are recorded
KEPT = 4


@dataclass
class Pressed:
    """What came back: answers to jobs, long texts of `tokens` tokens each, and how many requests were preempted.

    `preempted` is None where the server does not report it.
    """

    tokens: int
    answers: list[tuple[Job, Reply | NoReply]] = field(default_factory=list)
    texts: list[Reply | NoReply] = field(default_factory=list)
    preempted: float | None = None
    hang: Hang | None = None
    seconds: float = 0.0

    def answered(self, jobs: Sequence[Job]) -> Answered:
        """The same with the places of its jobs among these."""
        places = [(jobs.index(job), reply) for job, reply in self.answers]
        return Answered(places, self.texts, self.preempted, self.hang, self.seconds, self.tokens)


@dataclass(frozen=True, slots=True)
class Answered:
    """What is stored of `Pressed`: each job by its place among the jobs."""

    answers: list[tuple[int, Reply | NoReply]]
    texts: list[Reply | NoReply]
    preempted: float | None
    hang: Hang | None
    seconds: float
    tokens: int

    def pressed(self, jobs: Sequence[Job]) -> Pressed:
        """The same with these jobs."""
        answers = [(jobs[place], reply) for place, reply in self.answers]
        return Pressed(self.tokens, answers, self.texts, self.preempted, self.hang, self.seconds)


def text_tokens(max_model_len: int | None) -> int:
    """The length of a long text: less than half of the model's context, so that it fits with any prompt."""
    return USUAL_TOKENS if max_model_len is None else min(USUAL_TOKENS, max_model_len // 2 - 1)


def press(
    client: RecordingClient,
    jobs: Sequence[Job],
    tokens: int,
    least: int,
    most_s: float,
    hang_s: float,
    chance: Chance,
) -> Pressed:
    """Send until each job was sent and `least` requests were preempted, or for `most_s` seconds."""
    made: list[Pressed] = []

    def press_now() -> Answered:
        made.append(_press(client, jobs, tokens, least, most_s, hang_s, chance))
        return made[0].answered(jobs)

    seen = client.observed("pressed", Answered, press_now, [job.body for job in jobs])
    return made[0] if made else seen.pressed(jobs)


def _press(
    client: RecordingClient,
    jobs: Sequence[Job],
    tokens: int,
    least: int,
    most_s: float,
    hang_s: float,
    chance: Chance,
) -> Pressed:
    before = preemptions(client)
    run = _Pressing(client, jobs, Pressed(tokens), least, most_s, chance, before)
    watchdog = Watchdog(client.http, hang_s, clock=client.clock)
    watchdog.least_s = run.warmup.least_s
    run.watchdog = watchdog
    began_ns = time.monotonic_ns()
    run.pressed.hang = send_watched(client.http, run.requests(), CONCURRENCY, run.take, watchdog)
    after = preemptions(client)
    run.pressed.seconds = (time.monotonic_ns() - began_ns) / NS
    run.pressed.preempted = None if before is None or after is None else after - before
    return run.pressed


def preemptions(client: RecordingClient) -> float | None:
    """How many requests the engine has preempted so far; None where it does not report it."""
    return figure_of(figures_in(client.get("/metrics")), PREEMPTIONS)


class _Pressing:
    """The requests that are going on; even numbers of `sent` texts are streamed."""

    watchdog: Watchdog

    def __init__(
        self,
        client: RecordingClient,
        jobs: Sequence[Job],
        pressed: Pressed,
        least: int,
        most_s: float,
        chance: Chance,
        before: float | None,
    ) -> None:
        self.pressed = pressed
        self.warmup = WarmupTracker(client)
        self._client, self._jobs, self._chance = client, jobs, chance
        self._least, self._most_ns, self._before = least, round(most_s * NS), before
        self._sent: dict[int, tuple[Job | None, dict[str, Any]]] = {}

    def requests(self) -> Iterator[tuple[int, Request]]:
        """Long texts first, then jobs with long texts among them."""
        began_ns, questions = time.monotonic_ns(), itertools.cycle(self._jobs)
        asked = 0
        for number in itertools.count():
            is_over = time.monotonic_ns() - began_ns > self._most_ns
            if is_over or (asked >= len(self._jobs) and self._has_preempted_enough()):
                return
            is_text = number < FIRST_TEXTS or number % TEXT_EVERY == 0
            job = None if is_text else next(questions)
            asked += job is not None
            body = self._text(number) if job is None else job.sent(self._chance)
            self._sent[number] = (job, body)
            self.warmup.sent(body)
            yield number, self._client.request(body)

    def _has_preempted_enough(self) -> bool:
        seen = figure_of(
            next((one.figures for one in reversed(self.watchdog.readings) if one.figures), None), PREEMPTIONS
        )
        return seen is None or self._before is None or seen - self._before >= self._least

    def _text(self, number: int) -> dict[str, Any]:
        sampled: dict[str, Any] = {"temperature": 1.0, "seed": self._chance.below(1 << 31), "ignore_eos": True}
        prompt = f"Count from {self._chance.below(1000)} to 2000."
        body = chat_body(self._client.model_id, prompt, max_tokens=self.pressed.tokens, **sampled)
        return {**body, **STREAMED} if number % 2 else body

    def take(self, number: int, exchange: Exchange) -> None:
        """Keep an answer."""
        job, body = self._sent.pop(number)
        self.warmup.received(body)
        reply = answer_to(exchange)
        if job is not None:
            self.pressed.answers.append((job, reply))
            self._client.keep(exchange, body)
        else:
            self.pressed.texts.append(reply)
            if isinstance(reply, NoReply) or len(self.pressed.texts) <= KEPT:
                self._client.keep(exchange, body)
