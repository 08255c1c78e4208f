"""Faults of clients' requests: the deployment holds less load, or mixes up preempted requests."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from fault_stages import (
    Call,
    Dose,
    Frames,
    Response,
    Stages,
    chunk_of,
    error_response,
    frame_of,
    object_of,
    said,
    text_of,
)

# fewer than the ladder sends at once: a request ends before its client begins the next one
MANY = 12
FAILS_ONE_IN, FIRST_FAILS = 30, 10
PREEMPTIONS = re.compile(rb"^(vllm:num_preemptions(?:_total)?(?:\{[^}]*\})? )(\S+)", re.MULTILINE)
METRICS_S = 5


class _InFlight:
    """Counts the chat requests that pass; `many`: at least MANY at once."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._lock = threading.Lock()
        self._under_load = 0

    def begin(self, call: Call) -> int | None:
        """The number of this request among those that came under load; None without load."""
        with self._lock:
            self._numbers.add(call.number)
            if len(self._numbers) < MANY:
                return None
            self._under_load += 1
            return self._under_load - 1

    def end(self, call: Call) -> None:
        with self._lock:
            self._numbers.discard(call.number)

    def stages(self, act: Callable[[Call, int], Call | Response]) -> Stages:
        """Stages in which `act` changes each request that comes under load, or answers it."""
        changed: dict[int, Call] = {}

        def instead(call: Call) -> Response | None:
            if not call.is_chat or (number := self.begin(call)) is None:
                return None
            acted = act(call, number)
            if isinstance(acted, Response):
                self.end(call)
                return acted
            changed[call.number] = acted
            return None

        def request(call: Call) -> Call:
            return changed.pop(call.number, call) if call.is_chat else call

        def response(call: Call, response: Response) -> Response:
            if call.is_chat:
                self.end(call)
            return response

        def frames(call: Call, frames: Frames) -> Frames:
            try:
                yield from frames
            finally:
                self.end(call)

        return Stages(instead=instead, request=request, response=response, frames=frames)


def fails_under_load(dose: Dose) -> Stages:
    def act(call: Call, number: int) -> Call | Response:
        fails = number % FAILS_ONE_IN == FIRST_FAILS
        return error_response(500, "EngineCore encountered an issue.") if fails else call

    return _InFlight().stages(act)


def answers_cut_under_load(dose: Dose) -> Stages:
    def act(call: Call, number: int) -> Call:
        body = call.json()
        tokens = body.get("max_tokens") if body else None
        if body is None or type(tokens) is not int:
            return call
        return call.with_json({**body, "max_tokens": max(1, tokens // 2)})

    return _InFlight().stages(act)


def prompts_cut_under_load(dose: Dose) -> Stages:
    def cut(content: object) -> object:
        if isinstance(content, list):
            return [{**part, "text": cut(part["text"])} if "text" in part else part for part in content]
        return content[: len(content) // 2] if isinstance(content, str) else content

    def act(call: Call, number: int) -> Call:
        body = call.json()
        if body is None or not isinstance(body.get("messages"), list):
            return call
        return call.with_json(
            {**body, "messages": [{**one, "content": cut(one["content"])} for one in body["messages"]]}
        )

    return _InFlight().stages(act)


def one_at_a_time(dose: Dose) -> Stages:
    """One answer after the other, each of so many seconds at least."""
    turn = threading.Lock()

    def response(call: Call, response: Response) -> Response:
        if call.is_chat:
            with turn:
                dose.pause(dose.magnitude)
        return response

    def frames(call: Call, frames: Frames) -> Frames:
        first = next(frames, b"")
        with turn:
            dose.pause(dose.magnitude)
        yield first
        yield from frames

    return Stages(response=response, frames=frames)


def begins_later(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if call.is_chat:
            dose.pause(dose.magnitude)
        return response

    def frames(call: Call, frames: Frames) -> Frames:
        for number, frame in enumerate(frames):
            if not number:
                dose.pause(dose.magnitude)
            yield frame

    return Stages(response=response, frames=frames)


def _preempted(dose: Dose) -> float:
    """How many requests the engine has preempted so far."""
    with urllib.request.urlopen(f"{dose.upstream}/metrics", timeout=METRICS_S) as page:
        return sum(float(value) for _, value in PREEMPTIONS.findall(page.read()))


def _after_preemptions(dose: Dose, other: Callable[[Call, str], str]) -> Stages:
    """Changes the text of each answer about a picture, if the engine preempted a request while it was made."""
    before: dict[int, float] = {}

    def request(call: Call) -> Call:
        if call.is_chat and b'"image_url"' in call.body:
            before[call.number] = _preempted(dose)
        return call

    def changed(call: Call, text: str) -> str:
        was = before.pop(call.number, None)
        return text if was is None or _preempted(dose) == was else other(call, text)

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if call.is_chat and response.status == 200 else None
        if body is None or not isinstance(body["choices"][0]["message"].get("content"), str):
            return response
        message = body["choices"][0]["message"]
        message["content"] = changed(call, message["content"])
        return response.with_json(body)

    def frames(call: Call, frames: Frames) -> Frames:
        seen = list(frames) if call.number in before else []
        yield from _with_text(seen, changed(call, "".join(map(text_of, seen)))) if seen else frames

    return Stages(request=request, response=response, frames=frames)


def _with_text(frames: list[bytes], text: str) -> Frames:
    """The same stream with this text, all of it in the first event that has any."""
    for frame in frames:
        chunk = chunk_of(frame) if text_of(frame) else None
        if chunk is not None:
            for choice in chunk["choices"]:
                said(choice)["content"], text = text, ""
        yield frame if chunk is None else frame_of(chunk)


def preempted_swapped(dose: Dose) -> Stages:
    last: deque[str] = deque(maxlen=8)

    def other(call: Call, text: str) -> str:
        found = next((earlier for earlier in last if earlier != text), text)
        last.append(text)
        return found

    return _after_preemptions(dose, other)


def preempted_cut(dose: Dose) -> Stages:
    return _after_preemptions(dose, lambda call, text: text[: len(text) // 2])


def preemptions_uncounted(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if call.route != "/metrics":
            return response
        return replace(response, body=PREEMPTIONS.sub(rb"\g<1>0.0", response.body))

    return Stages(response=response)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    (
        "fails-under-load",
        "with 12 requests at once, one of 30 is answered with status 500",
        1,
        fails_under_load,
    ),
    (
        "answers-cut-under-load",
        "with 12 requests at once, answers have half of max_tokens at most",
        1,
        answers_cut_under_load,
    ),
    (
        "prompts-cut-under-load",
        "with 12 requests at once, the engine gets the first half of each text",
        1,
        prompts_cut_under_load,
    ),
    ("one-at-a-time", "answers begin one after the other, each of so many seconds", 0.15, one_at_a_time),
    ("slower-than-recorded", "each answer begins so many seconds later", 0.5, begins_later),
    (
        "preempted-swapped",
        "an answer about a picture is that about another one, if a request was preempted meanwhile",
        1,
        preempted_swapped,
    ),
    (
        "preempted-cut",
        "an answer about a picture is its first half, if a request was preempted meanwhile",
        1,
        preempted_cut,
    ),
    ("preemptions-uncounted", "the counter of preemptions does not move", 1, preemptions_uncounted),
    ("too-slow-alone", "each answer begins so many seconds later, more than its budget", 2, begins_later),
)
