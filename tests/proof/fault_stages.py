"""Where a fault acts on a request that passes the proxy, and the plumbing the transformations share."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
Frames = Iterator[bytes]


class Cut(Exception):
    """Raised by a stage: the client's connection is reset here."""


@dataclass(frozen=True, slots=True)
class Dose:
    """How strongly, and with which choices, a fault acts; `closing` is set when the proxy ends."""

    magnitude: float
    seed: int = 0
    upstream: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def strikes(self, number: int) -> bool:
        """True for a share of `magnitude` of all numbers, evenly spaced; the seed chooses which."""
        if self.magnitude <= 0:
            return False
        period = max(1, round(1 / self.magnitude))
        return number % period == random.Random(self.seed).randrange(period)

    def drawn(self, number: int) -> random.Random:
        """What decides about one request, the same in every run with this seed."""
        return random.Random(f"{self.seed} {number}")

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the proxy lives."""
        self.closing.wait(seconds)


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `number` counts the earlier ones of the same route."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def route(self) -> str:
        return self.path.partition("?")[0]

    @property
    def is_chat(self) -> bool:
        return self.route == CHAT

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is not one."""
        return object_of(self.body)

    def with_json(self, value: dict[str, Any]) -> Call:
        # escaped, as the suite sends it: a lone surrogate cannot be encoded otherwise
        return replace(self, body=json.dumps(value).encode())


@dataclass(frozen=True, slots=True)
class Response:
    """An answer in one piece; with `reset_after` the connection is reset after that many bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reset_after: int | None = None

    def with_json(self, value: dict[str, Any]) -> Response:
        return replace(self, body=dumped(value))


def _no_answer(call: Call) -> Response | None:
    return None


def _same_call(call: Call) -> Call:
    return call


def _same_response(call: Call, response: Response) -> Response:
    return response


def _same_frames(call: Call, frames: Frames) -> Frames:
    return frames


def _not_noticed(call: Call) -> None:
    pass


def _same_headers(call: Call, headers: Mapping[str, str]) -> Mapping[str, str]:
    return headers


@dataclass(frozen=True, slots=True)
class Stages:
    """What one fault does to a request on its way; a stage not given changes nothing.

    `instead` answers in the engine's place, `request` changes what the engine gets, `response` an answer in one piece,
    `frames` the events of a stream (each with its final blank line), `headers` the headers of either. `left` is called
    when a client left before its answer was complete.
    """

    instead: Callable[[Call], Response | None] = _no_answer
    request: Callable[[Call], Call] = _same_call
    response: Callable[[Call, Response], Response] = _same_response
    frames: Callable[[Call, Frames], Frames] = _same_frames
    headers: Callable[[Call, Mapping[str, str]], Mapping[str, str]] = _same_headers
    left: Callable[[Call], None] = _not_noticed


def dumped(value: Any) -> bytes:
    """JSON bytes as the engine's web framework writes them."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def object_of(body: bytes) -> dict[str, Any] | None:
    """The bytes as a JSON object; None when they are not one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_response(status: int, value: Any) -> Response:
    """An answer of our own."""
    return Response(status, {"content-type": "application/json"}, dumped(value))


def typed(headers: Mapping[str, str], content_type: str) -> dict[str, str]:
    """The same headers with another content type."""
    return {
        **{key: value for key, value in headers.items() if key.lower() != "content-type"},
        "content-type": content_type,
    }


def error_response(status: int, message: str, *, code: int | None = None) -> Response:
    """An error shaped as vLLM's; `code` is the one inside the body when it differs from the status."""
    error = {"message": message, "type": "InternalServerError", "param": None, "code": code or status}
    return json_response(status, {"error": error})


def chunk_of(frame: bytes) -> dict[str, Any] | None:
    """The chunk of a chat in a stream event; None for `[DONE]`, comments, errors, and other routes."""
    chunk = object_of(frame.removeprefix(b"data:")) if frame.startswith(b"data:") else None
    is_chat = chunk is not None and "choices" in chunk and all("delta" in choice for choice in chunk["choices"])
    return chunk if is_chat else None


def frame_of(value: dict[str, Any]) -> bytes:
    """A stream event that carries this JSON."""
    return b"data: " + dumped(value) + b"\n\n"


def text_of(frame: bytes) -> str:
    """The text that a stream event adds to the answer, or ''."""
    chunk = chunk_of(frame)
    return "".join(c["delta"].get("content") or "" for c in chunk["choices"]) if chunk else ""


def finishes(frame: bytes) -> bool:
    """Whether a stream event ends a choice."""
    chunk = chunk_of(frame)
    return chunk is not None and any(c.get("finish_reason") for c in chunk["choices"])


def said(choice: dict[str, Any]) -> dict[str, Any]:
    """The message of a choice, or its delta in a stream."""
    part: dict[str, Any] = choice["message"] if "message" in choice else choice["delta"]
    return part


def edits_answers(edit: Callable[[Call, dict[str, Any]], None]) -> Stages:
    """Change in place the body of each chat answer, and each chunk of a streamed one."""

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if call.is_chat and response.status == 200 else None
        if body is None or "choices" not in body:
            return response
        edit(call, body)
        return response.with_json(body)

    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            chunk = chunk_of(frame)
            if chunk is not None:
                edit(call, chunk)
            yield frame if chunk is None else frame_of(chunk)

    return Stages(response=response, frames=frames)


def edits_body(route: str, edit: Callable[[dict[str, Any]], None]) -> Stages:
    """Change in place the JSON body of each good answer of one route."""

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if call.route == route and response.status == 200 else None
        if body is None:
            return response
        edit(body)
        return response.with_json(body)

    return Stages(response=response)


Rewriter = Callable[[str, bool], str]


def rewrites_text(start: Callable[[Call], Rewriter]) -> Stages:
    """Change the text of each answer, streamed or not.

    `start` gives one rewriter for each answer. It gets the text so far and whether that is all, and returns the false
    text so far; what it returned before must be the beginning of what it returns next.
    """

    def edit(rewriters: dict[int, _Rewriting], call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            message, number, is_last = said(choice), choice.get("index", 0), bool(choice.get("finish_reason"))
            piece = message.get("content")
            # an engine may end an answer in a chunk without text, and what was held back is due then
            if not isinstance(piece, str) and not (is_last and number in rewriters):
                continue
            rewriting = rewriters.setdefault(number, _Rewriting(start(call)))
            fresh = rewriting.next(piece or "", is_last)
            message["content"] = fresh or (piece and "")

    def response(call: Call, response: Response) -> Response:
        rewriters: dict[int, _Rewriting] = {}
        return edits_answers(lambda call, body: edit(rewriters, call, body)).response(call, response)

    def frames(call: Call, frames: Frames) -> Frames:
        rewriters: dict[int, _Rewriting] = {}
        return edits_answers(lambda call, body: edit(rewriters, call, body)).frames(call, frames)

    return Stages(response=response, frames=frames)


class _Rewriting:
    """The true text so far of one choice, and how much of the false one has been sent."""

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter, self._text, self._sent = rewriter, "", 0

    def next(self, piece: str, is_last: bool) -> str:
        self._text += piece
        whole = self._rewriter(self._text, is_last)
        fresh, self._sent = whole[self._sent :], len(whole)
        return fresh
