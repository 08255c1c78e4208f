"""Climbing one stage, by a clock of the test's own, and what counts as reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.engine.readiness import (
    LAST_WORDS_S,
    ProbeResult,
    Stage,
    health_look,
    listed_models,
    token_look,
    wait_for,
)

REFUSED = ErrorDetail("connect", "connection refused")


@dataclass
class Clock:
    """Time that passes only while somebody sleeps, and a process that dies at a time of its own."""

    now: float = 100.0
    dies_at: float = float("inf")
    ticks: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def alive(self) -> str | None:
        return "the engine ended" if self.now >= self.dies_at else None

    def tick(self, name: str, seen: str) -> None:
        self.ticks.append((name, seen))


def exchange(status: int | None = 200, body: object = b"", error: ErrorDetail | None = None) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("r1", Request("GET", "/x"), "", 0, 1, status=status, body=raw, error=error)


def climbed(clock: Clock, looks: Iterator[ProbeResult] | list[ProbeResult], timeout_s: float = 5.0) -> Stage:
    looks = iter(looks)
    return wait_for(
        "port",
        lambda: next(looks),
        timeout_s,
        alive=clock.alive,
        tick=clock.tick,
        clock=clock,
        sleep=clock.sleep,
    )


def forever(look: ProbeResult) -> Iterator[ProbeResult]:
    while True:
        yield look


def test_stage_is_reached_when_the_step_says_so():
    clock = Clock()
    stage = climbed(clock, [ProbeResult(None, "not yet"), ProbeResult(None, "not yet"), ProbeResult(True, "there")])
    assert (stage.ok, stage.detail, stage.seconds) == (True, "there", 0.5)
    assert clock.ticks == [("port", "not yet")] * 2


def test_stage_that_is_lost_is_not_tried_again():
    clock = Clock()
    stage = climbed(clock, [ProbeResult(False, "another model")])
    assert (stage.ok, stage.detail) == (False, "another model")
    assert clock.ticks == []


def test_deadline_names_what_was_last_seen():
    stage = climbed(Clock(), forever(ProbeResult(None, "nothing listens")))
    assert not stage.ok
    assert stage.detail == "not reached within 5 s; last seen: nothing listens"
    assert stage.seconds == 5.0


def test_step_is_tried_once_without_patience():
    stage = climbed(Clock(), [ProbeResult(None, "HTTP 503")], timeout_s=0)
    assert not stage.ok


def test_death_ends_the_climb_before_the_deadline():
    clock = Clock(dies_at=101.0)
    stage = climbed(clock, forever(ProbeResult(None, "nothing listens")), timeout_s=900)
    assert (stage.ok, stage.detail, stage.seconds) == (False, "the engine ended", 1.0)


def test_nothing_is_asked_of_the_dead():
    stage = climbed(Clock(dies_at=0), iter(()))
    assert stage.detail == "the engine ended"


@pytest.mark.parametrize("reached", [None, False])
def test_death_explains_more_than_the_connection_it_broke(reached):
    # the connection breaks a moment before the exit is seen
    clock = Clock(dies_at=100.0 + LAST_WORDS_S / 2)
    stage = climbed(clock, [ProbeResult(reached, "reset", exchange(None, error=REFUSED))], timeout_s=0)
    assert stage.detail == "the engine ended"
    assert stage.exchange is not None


def test_broken_connection_of_a_living_engine_is_told_as_seen():
    clock = Clock(dies_at=1000.0)
    stage = climbed(clock, [ProbeResult(False, "reset", exchange(None, error=REFUSED))])
    assert stage.detail == "reset"
    assert clock.now < 100.0 + 2 * LAST_WORDS_S


def test_answer_is_not_waited_on_for_a_death():
    clock = Clock()
    climbed(clock, [ProbeResult(False, "HTTP 400", exchange(400))])
    assert clock.now == 100.0


@pytest.mark.parametrize(
    ("seen", "reached"),
    [(exchange(200), True), (exchange(503), None), (exchange(404), None), (exchange(None, error=REFUSED), None)],
)
def test_health_is_reached_by_200_alone(seen, reached):
    assert health_look(seen).reached is reached


def test_health_that_breaks_off_is_not_reached():
    assert health_look(exchange(200, error=ErrorDetail("reset", "gone"))).reached is None


@pytest.mark.parametrize(
    "seen",
    [
        exchange(404, {"data": []}),
        exchange(200, b"<html>"),
        exchange(200, {"models": []}),
        exchange(200, {"data": None}),
        exchange(200, {"data": ["a"]}),
        exchange(200, []),
        exchange(None, error=REFUSED),
    ],
)
def test_what_is_no_list_of_models_is_none(seen):
    assert listed_models(seen) is None


def test_models_are_listed_by_id():
    assert listed_models(exchange(200, {"data": [{"id": "a"}, {"id": "b"}]})) == ["a", "b"]


def completion(text: str, tokens: int | None) -> dict[str, object]:
    usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + (tokens or 0)}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
    body: dict[str, object] = {"model": "m", "choices": [choice]}
    return body if tokens is None else {**body, "usage": usage}


@pytest.mark.parametrize(("text", "tokens"), [("OK", 1), ("OK", None), ("", 1)])
def test_probe_is_reached_by_a_token(text, tokens):
    assert token_look(exchange(200, completion(text, tokens))).reached is True


@pytest.mark.parametrize(
    "seen",
    [
        exchange(200, completion("", 0)),
        exchange(200, {"error": "no"}),
        exchange(200, b"OK"),
        exchange(503),
        exchange(None, error=ErrorDetail("timeout", "nothing more within 60 s")),
    ],
)
def test_probe_without_a_token_is_lost_at_once(seen):
    assert token_look(seen).reached is False
