"""One request with everything observed about it. It does not judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NS = 1_000_000_000
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """Why an exchange has no complete response: kind is connect, timeout, reset or protocol."""

    kind: str
    message: str


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
    """A request and what came back; times are monotonic nanoseconds, `started_utc` is ISO-8601."""

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

    def __post_init__(self) -> None:
        if self.status is None and self.error is None:
            raise ValueError("an exchange without a status must carry an error")

    @property
    def elapsed_s(self) -> float:
        """From before the first byte sent to after the last byte read, in seconds."""
        return (self.finished_ns - self.started_ns) / NS

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body.decode("utf-8"))
