"""The answers of `/v1/completions` and `/v1/responses`, streamed or not, or why there is none. Nothing here judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.core.exchange import (
    Exchange,
    NoReply,
    UnreadableError,
    Usage,
    read_or_reason,
    token_count,
    usage_of,
)
from vlm_acceptance.core.numbers import figure, read_json
from vlm_acceptance.core.spelling import Spelled
from vlm_acceptance.core.text import trimmed

DONE = "[DONE]"
COMPLETIONS, RESPONSES = "/v1/completions", "/v1/responses"
_SHOWN, _NAME = 300, 60
# the names of the final events of a stream of /v1/responses
FINAL = ("response.completed", "response.incomplete")


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """An answer of a route. `indexes` are those of its choices, `flaws` what is wrong with the order of its stream.

    `reason` is the finish_reason: `stop` or `length`, also for a response that is completed or incomplete.
    """

    spelled: Spelled
    reason: str
    usage: Usage | None
    indexes: tuple[int, ...] = (0,)
    flaws: tuple[str, ...] = ()
    exchange: Exchange | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.spelled.text


def completion_answer(exchange: Exchange) -> RouteAnswer | NoReply:
    """The answer of `/v1/completions`."""
    return read_or_reason(exchange, lambda: _completion(exchange))


def response_answer(exchange: Exchange) -> RouteAnswer | NoReply:
    """The answer of `/v1/responses`."""
    return read_or_reason(exchange, lambda: _response(exchange))


def _events(exchange: Exchange) -> list[dict[str, Any]]:
    """The bodies of all events but [DONE]."""
    if not exchange.frames:
        raise UnreadableError("the stream carried no event")
    bodies = [read_json(frame.data) for frame in exchange.frames if frame.data.strip() != DONE]
    for body in bodies:
        if not isinstance(body, dict) or "error" in body:
            raise UnreadableError(f"an event that is no part of an answer: {trimmed(body)}")
    return bodies


def _completion(exchange: Exchange) -> RouteAnswer:
    flaws: list[str] = []
    if exchange.request.stream:
        bodies = _events(exchange)
        flaws += _end_flaws(exchange)
    else:
        bodies = [exchange.json()]
    if "error" in bodies[0]:
        raise UnreadableError(f"an error inside HTTP 200: {trimmed(bodies[0]['error'])}")
    parts = [choice for body in bodies for choice in body["choices"]]
    first = [part for part in parts if part["index"] == 0]
    reasons = [str(part["finish_reason"])[:_NAME] for part in first if part.get("finish_reason") is not None]
    if len(reasons) != 1:
        flaws.append(f"{len(reasons)} finish_reasons for one answer")
    if len({body.get("id") for body in bodies}) != 1:
        flaws.append("its chunks have different ids")
    usage = next((usage for body in bodies if (usage := usage_of(body)) is not None), None)
    text = "".join(part["text"] for part in first)
    indexes = tuple(sorted({int(part["index"]) for part in parts}))
    listed = [part["logprobs"] for part in first if part.get("logprobs")]
    return RouteAnswer(_spelled(text, listed), "".join(reasons[:1]), usage, indexes, tuple(flaws), exchange)


def _end_flaws(exchange: Exchange) -> list[str]:
    places = [number for number, frame in enumerate(exchange.frames, 1) if frame.data.strip() == DONE]
    return [] if places == [len(exchange.frames)] else [f"{DONE} is not sent once, as the last event"]


def _spelled(text: str, listed: list[Mapping[str, Any]]) -> Spelled:
    """The text with its tokens, from the `logprobs` of its choice or of its chunks."""
    tokens: list[str] = []
    chosen: list[float] = []
    others: list[tuple[tuple[str, float], ...]] = []
    try:
        for part in listed:
            top = part.get("top_logprobs") or [{}] * len(part["tokens"])
            for token, logprob, near in zip(part["tokens"], part["token_logprobs"], top, strict=True):
                tokens.append(str(token))
                chosen.append(figure(logprob))
                others.append(tuple((str(name), figure(value)) for name, value in near.items() if name != token))
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        why = f"unreadable log probabilities ({type(broken).__name__}: {str(broken)[:_SHOWN]})"
        return Spelled(text, why=why, is_broken=True)
    return Spelled(text, tuple(tokens), tuple(chosen), tuple(others), "" if tokens else "no log probabilities")


def _response(exchange: Exchange) -> RouteAnswer:
    flaws: list[str] = []
    body = exchange.json() if not exchange.request.stream else None
    if body is None:
        body, flaws = _streamed_response(exchange)
    if body.get("object") != "response":
        raise UnreadableError(f"object is {trimmed(body.get('object'), 60)}, not 'response'")
    reason = {"completed": "stop", "incomplete": "length"}.get(str(body["status"]), str(body["status"])[:_NAME])
    return RouteAnswer(Spelled(_output_text(body)), reason, _response_usage(body), (0,), tuple(flaws), exchange)


def _output_text(body: Mapping[str, Any]) -> str:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")


def _response_usage(body: Mapping[str, Any]) -> Usage | None:
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [token_count(usage.get(f"{name}_tokens")) for name in ("input", "output", "total")]
    prompt, completion, total = counts
    return None if prompt is None or completion is None or total is None else Usage(prompt, completion, total)


def _streamed_response(exchange: Exchange) -> tuple[dict[str, Any], list[str]]:
    """The final response of a stream, and what is wrong with its events."""
    events = _events(exchange)
    types = [str(event["type"]) for event in events]
    if types[-1] not in FINAL:
        raise UnreadableError(f"the stream ends with {types[-1][:_NAME]!r}, not with 'response.completed'")
    body = events[-1]["response"]
    flaws = [] if types[0] == "response.created" else [f"its first event is {types[0][:_NAME]!r}"]
    joined = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    if joined != _output_text(body):
        flaws.append(f"its pieces join to {trimmed(joined, 80)}, its final event has {trimmed(_output_text(body), 80)}")
    numbers = [event.get("sequence_number") for event in events]
    if numbers != list(range(len(events))):
        flaws.append("its sequence numbers are not 0, 1, 2 and so on")
    named = [frame.event for frame in exchange.frames if frame.data.strip() != DONE]
    if any(name and name != kind for name, kind in zip(named, types, strict=True)):
        flaws.append("an event has another name than the type in its data")
    return body, flaws
