"""Waiting for one stage, with a simulated clock, and what counts as reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.engine.readiness import (
    EXIT_WAIT_S,
    ProbeResult,
    Stage,
    health_probe,
    in_short,
    listed_models,
    model_card,
    short_json,
    token_probe,
    wait_for,
)

REFUSED = ErrorDetail("connect", "connection refused")


@dataclass
class Clock:
    """Time that passes only during sleep(), and a process that dies at a given time."""

    now: float = 100.0
    dies_at: float = float("inf")
    ticks: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def death(self) -> str | None:
        return "the engine ended" if self.now >= self.dies_at else None

    def tick(self, name: str, seen: str) -> None:
        self.ticks.append((name, seen))


def exchange(status: int | None = 200, body: object = b"", error: ErrorDetail | None = None) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("r1", Request("GET", "/x"), "", 0, 1, status=status, body=raw, error=error)


def waited(clock: Clock, results: Iterator[ProbeResult] | list[ProbeResult], timeout_s: float = 5.0) -> Stage:
    results = iter(results)
    return wait_for(
        "port",
        lambda: next(results),
        timeout_s,
        death=clock.death,
        tick=clock.tick,
        clock=clock,
        sleep=clock.sleep,
    )


def forever(result: ProbeResult) -> Iterator[ProbeResult]:
    while True:
        yield result


def test_stage_is_reached_when_a_probe_succeeds():
    clock = Clock()
    stage = waited(clock, [ProbeResult(None, "not yet"), ProbeResult(None, "not yet"), ProbeResult(True, "there")])
    assert (stage.ok, stage.detail, stage.seconds) == (True, "there", 0.5)
    assert clock.ticks == [("port", "not yet")] * 2


def test_stage_that_cannot_be_reached_is_not_tried_again():
    clock = Clock()
    stage = waited(clock, [ProbeResult(False, "another model")])
    assert (stage.ok, stage.detail) == (False, "another model")
    assert clock.ticks == []


def test_deadline_names_the_last_result():
    stage = waited(Clock(), forever(ProbeResult(None, "nothing listens")))
    assert not stage.ok
    assert stage.detail == "not reached within 5 s; last seen: nothing listens"
    assert stage.seconds == 5.0


def test_stage_without_a_time_limit_is_probed_once():
    stage = waited(Clock(), [ProbeResult(None, "HTTP 503")], timeout_s=0)
    assert not stage.ok


def test_death_ends_the_wait_before_the_deadline():
    clock = Clock(dies_at=101.0)
    stage = waited(clock, forever(ProbeResult(None, "nothing listens")), timeout_s=900)
    assert (stage.ok, stage.detail, stage.seconds) == (False, "the engine ended", 1.0)


def test_dead_engine_is_not_probed():
    stage = waited(Clock(dies_at=0), iter(()))
    assert stage.detail == "the engine ended"


@pytest.mark.parametrize("reached", [None, False])
def test_death_explains_more_than_the_connection_it_broke(reached):
    # the connection breaks a moment before the exit is seen
    clock = Clock(dies_at=100.0 + EXIT_WAIT_S / 2)
    stage = waited(clock, [ProbeResult(reached, "reset", exchange(None, error=REFUSED))], timeout_s=0)
    assert stage.detail == "the engine ended"
    assert stage.exchange is not None


def test_broken_connection_of_a_living_engine_is_reported():
    clock = Clock(dies_at=1000.0)
    stage = waited(clock, [ProbeResult(False, "reset", exchange(None, error=REFUSED))])
    assert stage.detail == "reset"
    assert clock.now < 100.0 + 2 * EXIT_WAIT_S


def test_death_is_not_awaited_after_a_response():
    clock = Clock()
    waited(clock, [ProbeResult(False, "HTTP 400", exchange(400))])
    assert clock.now == 100.0


@pytest.mark.parametrize(
    ("seen", "reached"),
    [(exchange(200), True), (exchange(503), None), (exchange(404), None), (exchange(None, error=REFUSED), None)],
)
def test_health_is_reached_by_200_alone(seen, reached):
    assert health_probe(seen).reached is reached


def test_health_that_breaks_off_is_not_reached():
    assert health_probe(exchange(200, error=ErrorDetail("reset", "gone"))).reached is None


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
def test_invalid_list_of_models_is_none(seen):
    assert listed_models(seen) is None


def test_models_are_listed_by_id():
    assert listed_models(exchange(200, {"data": [{"id": "a"}, {"id": "b"}]})) == ["a", "b"]


def completion(text: str, tokens: int | None) -> dict[str, object]:
    usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + (tokens or 0)}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
    body: dict[str, object] = {"model": "m", "choices": [choice]}
    return body if tokens is None else {**body, "usage": usage}


@pytest.mark.parametrize(("text", "tokens"), [("OK", 1), ("OK", None), ("", 1)])
def test_token_probe_is_reached_by_a_token(text, tokens):
    assert token_probe(exchange(200, completion(text, tokens))).reached is True


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
def test_probe_without_a_token_is_not_repeated(seen):
    assert token_probe(seen).reached is False


DEEP = b'{"data": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b"[" * 100_000,
        b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        {"data": [{"id": [[[]]]}]},
        {"data": [{"id": 3}]},
        {"data": {"id": "m"}},
        {"data": 1},
        [{"id": "m"}],
    ],
)
def test_a_list_of_models_that_is_none_is_not_taken_for_one(body: object) -> None:
    assert listed_models(exchange(body=body)) is None
    assert set(model_card(exchange(body=body), "m", ("root", "parent")).values()) == {None}


def test_models_without_end_are_named_in_short() -> None:
    assert len(in_short(["m" * 100_000] * 100_000)) < 4000
    assert in_short(["a", "b"]) == "'a', 'b'"
    assert in_short(["a"] * 10).endswith(", and 2 more")


@pytest.mark.parametrize("count", ["two", [1], {}, True, -1, 10**30, 1.5])
def test_a_count_of_tokens_that_is_none_proves_no_token(count: object) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": 3}
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    sent = Request("POST", "/v1/chat/completions")
    body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
    assert token_probe(Exchange("r1", sent, "", 0, 1, status=200, body=body)).reached is False


def test_what_an_endpoint_says_about_itself_is_kept_in_short() -> None:
    card = {"id": "m", "root": "r" * 1000, "parent": None, "max_model_len": 10**400}
    body = {"data": [{"id": "other", "root": "x"}, card]}
    keys = ("root", "parent", "max_model_len")
    assert model_card(exchange(body=body), "m", keys) == dict.fromkeys(keys)
    body = {"data": [{"id": "m", "root": "r", "max_model_len": 7}]}
    assert model_card(exchange(body=body), "m", keys) == {"root": "r", "parent": None, "max_model_len": 7}
    assert short_json(exchange(body={"version": "1"})) == {"version": "1"}
    assert short_json(exchange(body=b"[" * 100_000)) is None
    assert len(short_json(exchange(body={"version": "1" * 10_000}))) < 1000
