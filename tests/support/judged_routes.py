"""The figures that checks of routes beside chat read: rows for the walk of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.judged_wire import COUNTS, PLACES, WRITTEN, Row, exchange, written
from tests.support.route_bodies import COMPLETION, RESPONSE
from vlm_acceptance.checks import routes
from vlm_acceptance.core.exchange import CHAT, Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.route_answers import COMPLETIONS, RESPONSES, RouteAnswer

CHAT_BODY = {
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "It is 4."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}
FIRST = "choices.0.logprobs"


def _judged(judge: Callable[[RouteAnswer], object]) -> Callable[[Exchange], object]:
    """No answer is a finding, too."""

    def judged(seen: Exchange) -> object:
        read = routes.read(seen, "completions")
        return read if isinstance(read, Finding) else judge(read)

    return judged


def _of(what: Any, path: str, judge: Callable[[RouteAnswer], object], route: str) -> Callable[[str], object]:
    judged = _judged(judge)
    return lambda text: judged(exchange(written(what, path, text), route))


def _like_chat(answer: RouteAnswer) -> object:
    whole = exchange(written({**CHAT_BODY, "x": 0}, "x", "0"), CHAT)
    return routes.like_chat(answer, whole, None)


def rows() -> Iterator[Row]:
    """All figures of /v1/completions, /v1/responses and /tokenize."""
    for route, body, names in (
        (COMPLETIONS, COMPLETION, ("prompt", "completion", "total")),
        (RESPONSES, RESPONSE, ("input", "output", "total")),
    ):
        for name, good in zip(names, ("5", "3", "8"), strict=True):
            path = f"usage.{name}_tokens"
            yield Row(f"like_chat {route} {path}", _of(body, path, _like_chat, route), good, COUNTS)
    path = "usage.completion_tokens"
    yield Row("routes.cut_at", _of(COMPLETION, path, lambda one: routes.cut_at(one, 3)[1:], COMPLETIONS), "3", COUNTS)
    logprob = f"{FIRST}.token_logprobs.1"
    listed = _of(COMPLETION, logprob, lambda one: routes.lists_logprobs(one, 2), COMPLETIONS)
    yield Row("routes.lists_logprobs", listed, next(iter(PLACES.values())), WRITTEN)
    near = f"{FIRST}.top_logprobs.0.So"
    listed = _of(COMPLETION, near, lambda one: routes.lists_logprobs(one, 2), COMPLETIONS)
    yield Row("routes.lists_logprobs near", listed, "-3.0", [text for text in WRITTEN if text != "missing"])
    yield Row("routes.token_ids of a token", _tokens("tokens.0"), "1", COUNTS)
    yield Row("routes.token_ids of their count", _tokens("count"), "2", COUNTS)


def _tokens(path: str) -> Callable[[str], object]:
    body = {"tokens": [1, 2], "count": 2}
    return lambda text: routes.token_ids(exchange(written(body, path, text), "/tokenize")) is None
