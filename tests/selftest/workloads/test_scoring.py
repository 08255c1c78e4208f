"""Which stored answers are scored, in which order, and what an answer of the server says about the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, NoReply, Request
from vlm_acceptance.core.logprobs import LogProbPrompt, LogProbs, StoredLogProbs
from vlm_acceptance.core.scored_answers import PLACES, TOKENS, places_in
from vlm_acceptance.core.spelling import TOP
from vlm_acceptance.workloads.logprobs import asked
from vlm_acceptance.workloads.scoring import MOST_PLACES, score, short_rows

IMAGES = ROOT / "fixtures" / "images"
END = 4
ANSWER = LogProbs("It is", (7, 8, END), ({7: -0.1}, {8: -0.2}, {END: -0.3}))
ROWS = [StoredLogProbs(LogProbPrompt(f"p{number}", "x"), ANSWER) for number in range(3)]
TOO_MANY = "Requested sample logprobs of 20, which is greater than max allowed: 5"
Reply = tuple[int, object]


def right() -> Reply:
    place = {str(token): {"logprob": -0.1} for token in (7, 8, END)}
    entry = {"token": f"token_id:{END}", "logprob": -0.3, "top_logprobs": []}
    choice = {"message": {"content": ""}, "finish_reason": "stop", "logprobs": {"content": [entry]}}
    return 200, {"choices": [choice], PLACES: [None, place, place], TOKENS: [9, 7, 8]}


def without_list() -> Reply:
    status, body = right()
    assert isinstance(body, dict)
    return status, {**body, PLACES: None}


@dataclass
class Server:
    """Answers the n-th request by `reply`; remembers the bodies and how many were sent at once."""

    reply: Callable[[int, dict[str, Any]], Reply]
    model_id: str = "m"
    bodies: list[dict[str, Any]] = field(default_factory=list)
    at_once: list[tuple[int, int]] = field(default_factory=list)

    def all(
        self, bodies: Sequence[dict[str, Any]], concurrency: int, form: Callable[[Exchange], Exchange] = lambda one: one
    ) -> list[Exchange]:
        self.at_once.append((len(bodies), concurrency))
        return [form(self._one(body)) for body in bodies]

    def _one(self, body: dict[str, Any]) -> Exchange:
        status, content = self.reply(len(self.bodies), body)
        self.bodies.append(body)
        request, raw = Request("POST", CHAT, body), json.dumps(content).encode()
        if not status:
            return Exchange("r1", request, "", 0, 1, error=ErrorDetail("connection", "it was closed"))
        return Exchange("r1", request, "", 0, 1, status=status, body=raw)


def error(status: int, text: str = "no") -> Reply:
    return status, {"error": {"message": text}}


def test_the_first_answer_is_waited_for_and_the_others_are_few_at_once() -> None:
    server = Server(lambda *_: right())
    given = score(server, ROWS, IMAGES, 2, 20)
    assert (given.count, given.top, given.not_offered, given.broken) == (3, 20, "", None)
    assert server.at_once == [(1, 1), (2, 2)]


@pytest.mark.parametrize("reply", [error(400), error(404), error(422), error(501), without_list()])
def test_a_server_that_does_not_score_is_asked_for_one_answer(reply: Reply) -> None:
    server = Server(lambda *_: reply)
    given = score(server, ROWS, IMAGES, 2, TOP)
    assert given.not_offered
    assert (given.seen, len(server.bodies)) == ({}, 1)


@pytest.mark.parametrize("reply", [error(500), error(503), (0, None)])
def test_a_server_that_breaks_is_asked_for_no_more(reply: Reply) -> None:
    server = Server(lambda *_: reply)
    given = score(server, ROWS, IMAGES, 2, 20)
    assert isinstance(given.broken, NoReply)
    assert (given.not_offered, len(server.bodies)) == ("", 1)


def test_a_prompt_that_is_refused_later_is_left_out_and_no_other() -> None:
    given = score(Server(lambda number, _: error(400) if number == 1 else right()), ROWS, IMAGES, 2, TOP)
    assert (list(given.seen), given.count) == (["p0", "p2"], 2)


@pytest.mark.parametrize("reply", [error(500), without_list(), (200, {"choices": [], PLACES: [], TOKENS: 3})])
def test_a_later_answer_without_scores_is_a_failure(reply: Reply) -> None:
    given = score(Server(lambda number, _: reply if number == 1 else right()), ROWS, IMAGES, 2, TOP)
    assert isinstance(given.seen["p1"], NoReply)
    assert given.count == 2


def test_a_first_list_that_cannot_be_read_is_a_failure() -> None:
    given = score(Server(lambda *_: (200, {"choices": [], PLACES: 5, TOKENS: []})), ROWS, IMAGES, 2, TOP)
    assert not given.not_offered
    assert isinstance(given.seen["p0"], NoReply)


def limited(_: int, body: dict[str, Any]) -> Reply:
    """A server that is started with --max-logprobs 5."""
    return error(400, TOO_MANY) if body["top_logprobs"] > TOP else right()


def test_fewer_tokens_are_asked_for_where_so_many_are_refused() -> None:
    server = Server(limited)
    given = score(server, ROWS, IMAGES, 2, 20)
    assert (given.count, given.top) == (3, TOP)
    assert [body[PLACES] for body in server.bodies] == [20, TOP, TOP, TOP]
    server = Server(limited)
    exchanges, top = asked(server, [row.prompt for row in ROWS], IMAGES, 2, 20)
    assert ([one.status for one in exchanges], top) == ([200, 200, 200], TOP)
    assert [body["top_logprobs"] for body in server.bodies] == [20, TOP, TOP, TOP]


def test_a_server_that_refuses_the_usual_tokens_too_is_seen_as_such() -> None:
    exchanges, top = asked(Server(lambda *_: error(400)), [row.prompt for row in ROWS], IMAGES, 2, 20)
    assert ([one.status for one in exchanges], top) == ([400, 400, 400], TOP)
    exchanges, top = asked(Server(lambda *_: right()), [row.prompt for row in ROWS], IMAGES, 2, 20)
    assert ([one.status for one in exchanges], top) == ([200, 200, 200], 20)


def test_short_prompts_come_first_and_long_ones_are_not_scored() -> None:
    places = {"p0": 300, "p1": MOST_PLACES + 1, "p2": 20}
    assert [row.prompt.id for row in short_rows(ROWS, places)] == ["p2", "p0"]
    pictures = [replace(row, prompt=replace(row.prompt, pictures=("a.png",) * n)) for n, row in enumerate(ROWS)]
    assert [row.prompt.id for row in short_rows(pictures[::-1], {})] == ["p0", "p1"]


def test_lengths_of_prompts_are_read_from_their_tokens_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    rows = [{"id": "a", "prompt_tokens": [1, [7, 256], 2]}, {"id": "b"}, {"id": "c", "prompt_tokens": [[1], "x"]}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert places_in(file) == {"a": 258}
