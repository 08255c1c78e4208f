"""Faults of answers that are scored: the log probabilities of a prompt's own tokens, and of many requests at once."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from typing import Any

from fault_stages import Call, Dose, Frames, Response, Stages, edits_answers, error_response

KEY = "prompt_logprobs"
# log probabilities of a token of the prompt, by id; None at its first token
Scores = list[dict[str, dict[str, Any]] | None]


def _edits_scores(edit: Callable[[Scores], Scores | None]) -> Stages:
    def each(call: Call, body: dict[str, Any]) -> None:
        if body.get(KEY):
            body[KEY] = edit(body[KEY])

    return edits_answers(each)


def _each(edit: Callable[[float], float]) -> Stages:
    def every(scores: Scores) -> Scores:
        for listed in scores:
            for one in (listed or {}).values():
                one["logprob"] = edit(one["logprob"])
        return scores

    return _edits_scores(every)


def shifted(dose: Dose) -> Stages:
    places = int(dose.magnitude)
    return _edits_scores(lambda scores: [*[None] * places, *scores[:-places]])


def of_previous(dose: Dose) -> Stages:
    """The scores of the prompt before, at the end of which its answer is; the first ones are right."""
    last: list[Scores] = []

    def edit(scores: Scores) -> Scores:
        before, last[:] = last[:], [copy.deepcopy(scores)]
        if not before:
            return scores
        fitting = [*[None] * max(0, len(scores) - len(before[0])), *before[0]]
        return fitting[len(fitting) - len(scores) :]

    return _edits_scores(edit)


def lower(dose: Dose) -> Stages:
    return _each(lambda logprob: logprob - dose.magnitude)


def not_numbers(dose: Dose) -> Stages:
    return _each(lambda _: math.nan)


def missing(dose: Dose) -> Stages:
    """Of prompts with a picture; a server that scores none at all does not offer it."""

    def each(call: Call, body: dict[str, Any]) -> None:
        if b"image_url" in call.body:
            body[KEY] = None

    return edits_answers(each)


def cut(dose: Dose) -> Stages:
    return _edits_scores(lambda scores: scores[: -int(dose.magnitude)])


def status_500(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        is_scored = call.is_chat and (call.json() or {}).get(KEY) is not None
        return error_response(500, "EngineCore encountered an issue.") if is_scored else None

    return Stages(instead=instead)


class Company:
    """Which chat requests are in flight, and which ones were not alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: set[int] = set()
        self.crowded: set[int] = set()

    def come(self, call: Call) -> Call:
        """A request comes."""
        if call.is_chat:
            with self._lock:
                self._in_flight.add(call.number)
                self.crowded |= self._in_flight if len(self._in_flight) > 1 else set()
        return call

    def go(self, call: Call) -> None:
        """Its answer, or its client, goes."""
        if call.is_chat:
            with self._lock:
                self._in_flight.discard(call.number)


def lower_in_company(dose: Dose) -> Stages:
    """The log probabilities of an answer are lower where other requests were in flight with it."""
    company = Company()

    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"] if call.number in company.crowded else ():
            for entry in (choice.get("logprobs") or {}).get("content") or []:
                for one in (entry, *entry["top_logprobs"]):
                    one["logprob"] -= dose.magnitude

    def response(call: Call, response: Response) -> Response:
        company.go(call)
        return edits_answers(edit).response(call, response)

    def frames(call: Call, frames: Frames) -> Frames:
        yield from edits_answers(edit).frames(call, frames)
        company.go(call)

    return Stages(request=company.come, response=response, frames=frames, left=company.go)


ROWS = (
    ("scores-shifted", "the scores of a prompt's tokens lie so many places too late", 1, shifted),
    ("scores-of-previous", "the scores of a prompt are those of the prompt before", 1, of_previous),
    ("scores-lower", "the scores of a prompt's tokens are so much lower", 0.5, lower),
    ("scores-not-numbers", "the scores of a prompt's tokens are NaN", 1, not_numbers),
    ("scores-missing", "a prompt with a picture that is to be scored has no scores, with status 200", 1, missing),
    ("scores-cut", "the scores of so many of a prompt's last tokens are missing", 1, cut),
    ("scores-error", "a prompt that is to be scored is answered with status 500", 1, status_500),
    (
        "logprobs-lower-in-company",
        "log probabilities are so much lower where requests were in flight together",
        0.3,
        lower_in_company,
    ),
)
