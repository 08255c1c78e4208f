"""Faults of scored prompts and of log probabilities in company: what each changes, and what it leaves alone."""

from __future__ import annotations

import json
import math
from typing import Any

import faults_scores
import pytest
from fault_stages import CHAT, Call, Dose, Response, Stages, dumped
from faults_scores import KEY, ROWS

SCORES = [None, *({str(token): {"logprob": -0.1 * token, "rank": 1}} for token in (1, 2, 3))]
TOP = {"token": "token_id:5", "logprob": -0.5}


def stages(name: str) -> Stages:
    """The stages of a row at its own magnitude."""
    magnitude, apply = {row[0]: row[2:] for row in ROWS}[name]
    return apply(Dose(magnitude))


def call(number: int, scored: bool = True) -> Call:
    return Call(number, "POST", CHAT, {}, json.dumps({KEY: 5} if scored else {"logprobs": True}).encode())


def answer(scores: Any = SCORES) -> Response:
    listed = {"content": [{**TOP, "top_logprobs": [dict(TOP)]}]}
    choice = {"index": 0, "message": {"content": "x"}, "logprobs": listed}
    return Response(200, {}, dumped({"choices": [choice], KEY: scores}))


def seen(name: str, response: Response, of: Call) -> dict[str, Any]:
    return json.loads(stages(name).response(of, response).body)


def logprobs(scores: Any) -> list[float | None]:
    return [next(iter(one.values()))["logprob"] if one else None for one in scores]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("scores-shifted", [None, None, -0.1, -0.2]),
        ("scores-lower", [None, -0.6, -0.7, -0.8]),
        ("scores-cut", [None, -0.1, -0.2]),
    ],
)
def test_a_fault_changes_the_scores_alone(name: str, wrong: list[float | None]) -> None:
    body = seen(name, answer(), call(0))
    assert logprobs(body[KEY]) == pytest.approx(wrong)
    assert body["choices"] == json.loads(answer().body)["choices"]


def test_scores_that_are_no_numbers_or_missing() -> None:
    assert all(math.isnan(one) for one in logprobs(seen("scores-not-numbers", answer(), call(0))[KEY])[1:])
    pictured = Call(0, "POST", CHAT, {}, json.dumps({KEY: 5, "messages": [{"type": "image_url"}]}).encode())
    assert seen("scores-missing", answer(), pictured)[KEY] is None
    assert seen("scores-missing", answer(), call(0))[KEY] == SCORES


@pytest.mark.parametrize("name", [row[0] for row in ROWS if row[0].startswith("scores-")])
def test_answers_that_are_not_scored_stay(name: str) -> None:
    right = answer(None)
    assert stages(name).instead(call(0, scored=False)) is None
    assert stages(name).response(call(0, scored=False), right) == right or seen(name, right, call(0)) == json.loads(
        right.body
    )


@pytest.mark.parametrize("length", [2, 4, 6])
def test_scores_of_the_prompt_before_end_where_this_one_ends(length: int) -> None:
    broken = stages("scores-of-previous")
    own = [None, *[{"9": {"logprob": -9.0}}] * (length - 1)]
    assert json.loads(broken.response(call(0), answer()).body)[KEY] == SCORES
    scores = json.loads(broken.response(call(1), answer(own)).body)[KEY]
    assert len(scores) == length
    assert scores[-2:] == SCORES[-2:]
    assert logprobs(json.loads(broken.response(call(2), answer()).body)[KEY])[-1] == -9.0


def test_a_prompt_that_is_to_be_scored_is_an_error() -> None:
    refused = stages("scores-error").instead(call(0))
    assert refused is not None
    assert refused.status == 500


def test_log_probabilities_are_lower_in_company_alone() -> None:
    broken = faults_scores.lower_in_company(Dose(0.3))

    def top(number: int) -> float:
        body = json.loads(broken.response(call(number, scored=False), answer(None)).body)
        entry = body["choices"][0]["logprobs"]["content"][0]
        assert entry["logprob"] == entry["top_logprobs"][0]["logprob"]
        return entry["logprob"]

    broken.request(call(0, scored=False))
    assert top(0) == -0.5
    for number in (1, 2):
        broken.request(call(number, scored=False))
    assert (top(1), top(2)) == (-0.8, -0.8)
    broken.request(call(3, scored=False))
    broken.left(call(3, scored=False))
    broken.request(call(4, scored=False))
    assert top(4) == -0.5
