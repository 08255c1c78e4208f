"""The official openai client, with the deadlines and the sizes of our own: the only other sender of requests."""

from __future__ import annotations

import contextlib
import importlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from vlm_acceptance.client.connection import Wire
from vlm_acceptance.client.cutoff import Cutoff
from vlm_acceptance.client.http import MOST_EVENTS, Client
from vlm_acceptance.core.exchange import CHAT, NS, Exchange, NoReply, Request
from vlm_acceptance.core.route_answers import COMPLETIONS
from vlm_acceptance.core.text import trimmed

NO_KEY = "EMPTY"
# of the environment: they would go to the endpoint
OWN_HEADERS = ("OpenAI-Organization", "OpenAI-Project")
_LONGEST = 400
_cutoff = Cutoff()
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Official:
    """What the client made of two answers: the completion as an exchange of its JSON, and the text of the stream."""

    plain: Exchange
    streamed: str


def ask(client: Client, body: Mapping[str, Any], extra: Mapping[str, Any], deadline_s: float) -> Official | NoReply:
    """Send a chat body with the fields `extra`, and without them as a stream; each is over after `deadline_s` seconds.

    NoReply when the client fails in any way: it reads what the deployment sent. Redirects are not followed.
    """
    request = Request("POST", CHAT, {**body, **extra}, deadline_s=deadline_s)

    def use(official: Any, limits: _Limits) -> Official:
        create = official.chat.completions.create  # loads modules, which takes seconds: before the clock
        began_utc, began_ns = datetime.now(timezone.utc).isoformat(timespec="milliseconds"), time.monotonic_ns()
        with limits.clock():
            made = create(**body, **extra)
            data = json.dumps(made.model_dump(mode="json", warnings=False)).encode("utf-8")
        ended_ns = time.monotonic_ns()
        with limits.clock():
            streamed = _joined(create(**body, stream=True), _chat_piece)
        headers = {"content-type": "application/json"}
        return Official(Exchange("official", request, began_utc, began_ns, ended_ns, 200, headers, body=data), streamed)

    return _used(client, request, use)


def ask_route(client: Client, path: str, body: Mapping[str, Any], deadline_s: float) -> tuple[str, str] | NoReply:
    """The texts that the client reads from `/v1/completions` or `/v1/responses`, plain and streamed; see `ask`."""
    request = Request("POST", path, dict(body), deadline_s=deadline_s)

    def use(official: Any, limits: _Limits) -> tuple[str, str]:
        is_completion = path == COMPLETIONS
        create = official.completions.create if is_completion else official.responses.create
        with limits.clock():
            made = create(**body)
            plain = made.choices[0].text if is_completion else made.output_text
        with limits.clock():
            streamed = _joined(create(**body, stream=True), _completion_piece if is_completion else _response_piece)
        return str(plain), streamed

    return _used(client, request, use)


def _used(client: Client, request: Request, use: Callable[[Any, _Limits], Made]) -> Made | NoReply:
    """What `use` makes of the official client, or why the client failed."""
    openai = importlib.import_module("openai")
    limits = _Limits(client.sizes.largest(request), request.deadline_s)
    transport = _bounded(_package(openai), client, limits)
    http_client = openai.DefaultHttpxClient(transport=transport, trust_env=False, follow_redirects=False)
    # the client itself sends ASCII alone: the transport adds any other key
    key = client.api_key if client.api_key and client.api_key.isascii() else NO_KEY
    where = {"base_url": f"{client.base_url}/v1", "api_key": key, "http_client": http_client}
    try:
        with openai.OpenAI(**where, max_retries=0, timeout=request.deadline_s) as official:
            made = use(official, limits)
    except Exception as broken:  # noqa: BLE001  (it fails on what the deployment sent, in ways that are not listed)
        return NoReply(limits.broken or _why(broken))
    return NoReply(limits.broken) if limits.broken else made


class _Limits:
    """The limits of the request in flight, and why one of them broke it."""

    def __init__(self, largest: int, deadline_s: float) -> None:
        self.largest, self.deadline_s = largest, deadline_s
        self.wire = Wire(0)
        self.broken = ""

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """A wall clock for one request."""
        deadline_ns = time.monotonic_ns() + int(self.deadline_s * NS)
        with contextlib.closing(Wire(deadline_ns)) as self.wire, _cutoff.at(deadline_ns, self.wire.cut):
            try:
                yield
            finally:
                # a stream that was cut looks like one that ended
                if not self.broken and time.monotonic_ns() >= deadline_ns:
                    self.broken = f"timeout: not complete after {self.deadline_s:g} s"

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket as soon as it is connected: handshakes and proxies come after that."""
        if event.endswith("connect_tcp.complete"):
            self.wire.take(info["return_value"].get_extra_info("socket"))


def _package(openai: Any) -> ModuleType:
    """The HTTP package that this version of the client uses: httpx, or its successor."""
    base = next(one for one in openai.DefaultHttpxClient.__mro__ if one.__name__ == "Client")
    return importlib.import_module(base.__module__.partition(".")[0])


def _bounded(package: Any, client: Client, limits: _Limits) -> Any:
    """A transport of `package` with the client's proxy and certificates, whose answers obey the limits."""

    class Body(package.SyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Any) -> None:
            self.pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in self.pieces:
                size += len(piece)
                if size > limits.largest:
                    limits.broken = f"protocol: the body exceeds {limits.largest} bytes"
                if limits.broken:
                    raise package.ReadError(limits.broken)
                yield piece

        def close(self) -> None:
            self.pieces.close()

    class Transport(package.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            client.gateway.pace()
            request.extensions["trace"] = limits.trace
            request.headers["Accept-Encoding"] = "identity"
            _take_key(request.headers, client.api_key or "")
            request.headers.update(client.gateway.headers)
            for name in OWN_HEADERS:
                request.headers.pop(name, None)
            response = super().handle_request(request)
            coding = response.headers.get("content-encoding", "identity")
            if coding != "identity":  # a few bytes may unpack to any number
                limits.broken = f"protocol: the body is packed as {trimmed(coding, 40)}, which was not asked for"
                raise package.RemoteProtocolError(limits.broken)
            response.stream = Body(response.stream)
            return response

    # a connection of its own for each request, as our own client does: servers may close idle ones
    limits_of_pool = package.Limits(max_keepalive_connections=0)
    trusted = _trusted(client.certificates)
    return Transport(verify=trusted, proxy=client.proxy, trust_env=False, limits=limits_of_pool)


def _take_key(headers: Any, key: str) -> None:
    """Add a key that is not ASCII, in Latin-1 as our own client sends it."""
    if not key.isascii():
        headers.encoding = "latin-1"
        headers["Authorization"] = f"Bearer {key}"


def _trusted(certificates: bool | str | None) -> ssl.SSLContext | bool:
    if not isinstance(certificates, str):
        return certificates is not False
    is_folder = Path(certificates).is_dir()
    return ssl.create_default_context(**{"capath" if is_folder else "cafile": certificates})  # type: ignore[arg-type]


def _joined(events: Any, piece_of: Callable[[Any], str | None]) -> str:
    pieces: list[str] = []
    for number, event in enumerate(events):
        if number > MOST_EVENTS:
            raise ValueError(f"protocol: the stream exceeds {MOST_EVENTS} events")
        pieces.append(piece_of(event) or "")
    return "".join(pieces)


def _chat_piece(chunk: Any) -> str | None:
    return chunk.choices[0].delta.content if chunk.choices else None


def _completion_piece(chunk: Any) -> str | None:
    return chunk.choices[0].text if chunk.choices else None


def _response_piece(event: Any) -> str | None:
    return event.delta if event.type == "response.output_text.delta" else None


def _why(broken: BaseException) -> str:
    """The error and what caused it, which the client's own text does not name."""
    parts: list[str] = []
    cause: BaseException | None = broken
    while cause is not None and len(parts) < 3:
        parts.append(f"{type(cause).__name__}: {str(cause)[:_LONGEST]}")
        cause = cause.__cause__
    return "; ".join(parts)
