"""Faults of clients' requests: clients that leave, or come late, are treated wrongly."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from fault_stages import (
    CHAT,
    Call,
    Dose,
    Response,
    Rewriter,
    Stages,
    error_response,
    json_response,
    rewrites_text,
)

ANSWER_TOKENS = 32
READ_S = 30


def _metric(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"^(vllm:" + name.encode() + rb"(?:\{[^}]*\})? )(\S+)", re.MULTILINE)


RUNNING, WAITING = _metric("num_requests_running"), _metric("num_requests_waiting")


class _Left:
    """Counts clients that left, in `/metrics`."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.count = 0
        self._pattern = pattern

    def response(self, call: Call, response: Response) -> Response:
        if call.route != "/metrics":
            return response
        page = self._pattern.sub(lambda m: m[1] + b"%.1f" % (float(m[2]) + self.count), response.body)
        return replace(response, body=page)


def _is_streamed(call: Call) -> bool:
    return bool((call.json() or {}).get("stream"))


def unstreamed_kept(dose: Dose) -> Stages:
    seen = _Left(RUNNING)

    def left(call: Call) -> None:
        seen.count += call.is_chat and not _is_streamed(call)

    return Stages(response=seen.response, left=left)


def waiting_kept(dose: Dose) -> Stages:
    """Slots are freed, but not the places of those who wait for one."""
    seen, freed = _Left(WAITING), itertools.count(1)

    def left(call: Call) -> None:
        if call.is_chat and not _is_streamed(call):
            seen.count += next(freed) > dose.magnitude

    return Stages(response=seen.response, left=left)


def long_prompt_kept(dose: Dose) -> Stages:
    seen = _Left(RUNNING)

    def left(call: Call) -> None:
        is_long = len(call.body) > dose.magnitude and not any(_urls(call))
        seen.count += call.is_chat and _is_streamed(call) and is_long

    return Stages(response=seen.response, left=left)


def _urls(call: Call) -> Iterator[str]:
    for message in (call.json() or {}).get("messages") or []:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else []:
            source = part.get("image_url") if isinstance(part, dict) else None
            if isinstance(source, dict):
                yield str(source.get("url"))


def picture_poisons(dose: Dose) -> Stages:
    poisoned: set[str] = set()

    def instead(call: Call) -> Response | None:
        is_hit = call.is_chat and any(url in poisoned for url in _urls(call))
        return error_response(500, "Expected a cached item") if is_hit else None

    def left(call: Call) -> None:
        poisoned.update(_urls(call) if call.is_chat else ())

    return Stages(instead=instead, left=left)


def answer_given(dose: Dose) -> Stages:
    """The next request gets the answer of a client with a picture that left."""
    waiting: list[str] = []
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def left(call: Call) -> None:
        body = call.json()
        if not call.is_chat or body is None or not any(_urls(call)):
            return
        asked: dict[str, Any] = {**body, "stream": False, "ignore_eos": False, "max_tokens": ANSWER_TOKENS}
        asked.pop("stream_options", None)
        request = urllib.request.Request(
            dose.upstream + CHAT, json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with direct.open(request, timeout=READ_S) as answer:
            waiting.append(json.load(answer)["choices"][0]["message"]["content"])

    def start(call: Call) -> Rewriter:
        given = waiting.pop(0) if waiting else None
        return lambda text, done: text if given is None else given if done else ""

    return replace(rewrites_text(start), left=left)


def _first_after_a_pause(answer: Callable[[], Response]) -> Callable[[Dose], Stages]:
    """The first chat request after so many seconds without one."""

    def stages(dose: Dose) -> Stages:
        last, lock = [time.monotonic()], threading.Lock()

        def instead(call: Call) -> Response | None:
            if not call.is_chat:
                return None
            with lock:
                paused_s, last[0] = time.monotonic() - last[0], time.monotonic()
            return answer() if paused_s > dose.magnitude else None

        return Stages(instead=instead)

    return stages


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("left-unstreamed-kept", "/metrics counts abandoned requests without a stream as running", 1, unstreamed_kept),
    ("left-waiting-kept", "/metrics counts abandoned requests beyond so many as waiting", 16, waiting_kept),
    (
        "left-long-prompt-kept",
        "/metrics counts abandoned streams about a text of more than so many bytes as running",
        2000,
        long_prompt_kept,
    ),
    ("left-picture-poisons", "a picture of a client that left is answered with status 500", 1, picture_poisons),
    ("left-answer-given", "the next request gets the answer of a client with a picture that left", 1, answer_given),
    (
        "idle-first-503",
        "the first request after so many seconds without one is answered with status 503",
        4,
        _first_after_a_pause(lambda: error_response(503, "upstream connection timed out")),
    ),
    (
        "idle-first-reset",
        "the first request after so many seconds without one has its connection reset",
        4,
        _first_after_a_pause(lambda: replace(json_response(200, {}), reset_after=0)),
    ),
)
