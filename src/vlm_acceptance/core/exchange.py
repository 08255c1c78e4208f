"""One request, everything observed about it, and the chat answer that it carries. Nothing here judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.waiting import ProcessorReading, Waited, around

Read = TypeVar("Read")
NS = 1_000_000_000
MIB = 1 << 20
CHAT = "/v1/chat/completions"
_SHOWN_BYTES = 400  # a response may have megabytes: cut before anything else is done with it
_LONGEST_REASON = 80
MOST_TOKENS = 1 << 53
# characters: the longest tokens of vocabularies are rows of some hundred blanks or dashes
_LONGEST_TOKEN, _ANY_LENGTH = 1000, 20_000


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """Why an exchange has no complete response: kind is connect, timeout, reset or protocol."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; `at_ns` is the monotonic time at which its last byte was read."""

    at_ns: int
    data: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent. `body` is a JSON value, or bytes that are sent as they are; `deadline_s` bounds the whole."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 60.0
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came back; times are monotonic nanoseconds, `started_utc` is ISO-8601.

    `readings` are those of a processor clock around it and at its first events; empty if nothing was read.
    """

    id: str
    request: Request
    started_utc: str
    started_ns: int
    finished_ns: int
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    headers_ns: int | None = None
    body: bytes = b""
    frames: tuple[Frame, ...] = ()
    error: ErrorDetail | None = None
    readings: tuple[ProcessorReading, ...] = ()

    def __post_init__(self) -> None:
        if self.status is None and self.error is None:
            raise ValueError("an exchange without a status must carry an error")

    @property
    def elapsed_s(self) -> float:
        """From before the first byte sent to after the last byte read, in seconds."""
        return (self.finished_ns - self.started_ns) / NS

    @property
    def has_line(self) -> bool:
        """Whether a client of ours sent it: then the run records it under this id."""
        return self.id.startswith("r")

    @property
    def waited(self) -> Waited | None:
        """What was waited for a processor from start to end; None if that was not read."""
        return around(self.readings, self.started_ns, self.finished_ns)

    @property
    def is_late(self) -> bool:
        """Whether its deadline passed before the response was complete."""
        return self.error is not None and self.error.kind == "timeout"

    @property
    def is_starved(self) -> bool:
        """Whether it is late because of waits for a processor: it says nothing about the deployment."""
        return self.is_late and self.waited is not None and self.waited.starves(self.elapsed_s)

    def json(self) -> Any:
        """The body as JSON; ValueError when it is not JSON, BadNumber when a number in it is none."""
        return read_json(self.body)

    @property
    def reply(self) -> Reply | NoReply:
        """The chat answer, streamed or not, or why there is none. It is read at each call."""
        return reply_of(self)

    def reply_by(self, model: str) -> Reply | NoReply:
        """The chat answer of a plain response with exactly one choice, index 0, by `model`."""
        return reply_of(self, model)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them."""

    prompt: int
    completion: int
    total: int


@dataclass(frozen=True, slots=True)
class NoReply:
    """Why there is no answer. It is never used as an answer's text."""

    reason: str
    exchange: Exchange | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.reason

    @property
    def is_starved(self) -> bool:
        """Whether the machine was too busy for an answer: it counts neither as right nor as wrong."""
        return self.exchange is not None and self.exchange.is_starved


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `delta_ns` are the arrival times of the chunks that carried text, empty when not streamed.

    `exchange` is None for answers of the offline engine and of the official client.
    """

    text: str
    finish_reason: str | None
    usage: Usage | None
    model: str
    elapsed_s: float
    started_ns: int = 0
    delta_ns: tuple[int, ...] = ()
    exchange: Exchange | None = field(default=None, compare=False, repr=False)

    @property
    def ttft_s(self) -> float | None:
        """Seconds from sending to the first chunk with text; None when there was no text."""
        return (self.delta_ns[0] - self.started_ns) / NS if self.delta_ns else None

    @property
    def tpot_s(self) -> float | None:
        """Seconds per output token after the first; None below two tokens or without usage."""
        if not self.delta_ns or self.usage is None or self.usage.completion < 2:
            return None
        return (self.delta_ns[-1] - self.delta_ns[0]) / NS / (self.usage.completion - 1)


class UnreadableError(Exception):
    """The response holds no answer; the text says why."""


def reply_of(exchange: Exchange, model: str | None = None) -> Reply | NoReply:
    """The answer in an exchange of `/v1/chat/completions`, or why there is none.

    With `model` the response must hold exactly one choice, index 0, by that model; a usage count it lacks is None.
    """

    def read() -> Reply:
        reply = _from_stream(exchange) if exchange.request.stream else _from_body(exchange, model)
        require_possible_length(reply.text, exchange.request)
        return reply

    return read_or_reason(exchange, read)


def read_or_reason(exchange: Exchange, read: Callable[[], Read]) -> Read | NoReply:
    """What `read` reads of an exchange that got HTTP 200, or why there is no answer: whatever it meets is told."""
    if exchange.error is not None:
        return NoReply(str(exchange.error), exchange)
    if exchange.status != 200:
        body = exchange.body[:_SHOWN_BYTES].decode("utf-8", "replace")
        return NoReply(f"HTTP {exchange.status}: {trimmed(body)}", exchange)
    try:
        return read()
    except UnreadableError as why:
        return NoReply(str(why), exchange)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as broken:
        shown = str(broken)[:_SHOWN_BYTES]
        return NoReply(f"unreadable answer ({type(broken).__name__}: {shown})", exchange)


def require_possible_length(text: str, request: Request) -> None:
    """UnreadableError where a text cannot have come from the tokens asked for: it may stop whoever judges it."""
    limit = request.body.get("max_tokens") if isinstance(request.body, dict) else None
    if type(limit) is int and len(text) > max(_ANY_LENGTH, limit * _LONGEST_TOKEN):
        raise UnreadableError(f"the text has {len(text)} characters, more than {limit} tokens can have")


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The usage block of a body or chunk; None when it is absent, or one of its three counts is no count of tokens."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [token_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total")]
    prompt, completion, total = counts
    return None if prompt is None or completion is None or total is None else Usage(prompt, completion, total)


def token_count(value: object) -> int | None:
    """The value where it is a count of tokens, else None."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def _from_body(exchange: Exchange, model: str | None) -> Reply:
    body = exchange.json()
    if not isinstance(body, dict):
        raise UnreadableError(f"HTTP 200 whose body is {_seen(body)}, not an object")
    if "error" in body:
        raise UnreadableError(f"an error inside HTTP 200: {_seen(body['error'])}")
    if model is None:
        choice, usage = body["choices"][0], usage_of(body)
        reason = choice["finish_reason"]
    else:
        choice, reason = _only_choice(body.get("choices"))
        counts: Any = body.get("usage") if isinstance(body.get("usage"), dict) else {}
        usage = Usage(counts.get("prompt_tokens"), counts.get("completion_tokens"), counts.get("total_tokens"))
        if body.get("model") != model:
            raise UnreadableError(f"the answer is by model {_seen(body.get('model'))}, asked was {_seen(model)}")
    text = choice["message"]["content"]
    if not isinstance(text, str):
        raise UnreadableError(f"message.content is {_seen(text)}, not a string")
    elapsed_s, started_ns = exchange.elapsed_s, exchange.started_ns
    return Reply(text, reason, usage, str(body.get("model")), elapsed_s, started_ns, exchange=exchange)


def _only_choice(choices: Any) -> tuple[dict[str, Any], str | None]:
    """The only choice and its finish reason."""
    if not isinstance(choices, list) or len(choices) != 1:
        seen = f"{len(choices)} choices" if isinstance(choices, list) else f"choices {_seen(choices)}"
        raise UnreadableError(f"{seen}, expected one")
    choice = choices[0]
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise UnreadableError(f"choices[0] has no message: {_seen(choice)}")
    if type(choice.get("index")) is not int or choice["index"] != 0:
        raise UnreadableError(f"choices[0].index is {_seen(choice.get('index'))}, expected 0")
    choice["message"].setdefault("content", None)
    reason = choice.get("finish_reason", 0)
    if reason is not None and not isinstance(reason, str):
        shown = _seen(reason) if "finish_reason" in choice else "absent"
        raise UnreadableError(f"choices[0].finish_reason is {shown}, expected a string or null")
    return choice, reason if reason is None else reason[:_LONGEST_REASON]


def _from_stream(exchange: Exchange) -> Reply:
    pieces: list[str] = []
    stamps: list[int] = []
    finish = usage = None
    model = ""
    for frame in exchange.frames:
        if frame.data.strip() == "[DONE]":
            continue
        chunk = read_json(frame.data)
        if "error" in chunk:
            raise UnreadableError(f"an error event inside HTTP 200: {trimmed(chunk['error'])}")
        model = chunk.get("model") or model
        usage = usage_of(chunk) or usage
        for choice in chunk["choices"]:
            if choice.get("index", 0) != 0:
                continue
            piece = choice["delta"].get("content")
            if piece:
                pieces.append(piece)
                stamps.append(frame.at_ns)
            finish = choice.get("finish_reason") or finish
    if not exchange.frames:
        raise UnreadableError("the stream carried no event")
    elapsed_s, started_ns = exchange.elapsed_s, exchange.started_ns
    return Reply("".join(pieces), finish, usage, model, elapsed_s, started_ns, tuple(stamps), exchange)


def _seen(value: object) -> str:
    """A value for a reader, of bounded length."""
    return trimmed(value[:_SHOWN_BYTES] if isinstance(value, str) else value, 120)
