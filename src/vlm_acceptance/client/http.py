"""One request in, one Exchange out. Only this module and `direct` speak HTTP for the suite; they never judge."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from vlm_acceptance.client.sse import EventSplitter
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, Request

CONNECT_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 64 << 20


class BearerAuth(requests.auth.AuthBase):
    """Sets the key itself, so that no ~/.netrc entry can replace it and no stored request holds it.

    A request with an Authorization of its own keeps that; with an empty one it is sent without any.
    """

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        own = prepared.headers.get("Authorization")
        if own == "":
            del prepared.headers["Authorization"]
        elif own is None and self._key:
            prepared.headers["Authorization"] = f"Bearer {self._key}"
        return prepared


class Client:
    """Talks to one endpoint, with a connection for each request: a server that closes an idle one is not at fault."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        self._auth = BearerAuth(api_key)
        self._ids = itertools.count(1)
        self._trust_env = not is_loopback(self.base_url)

    def send(self, request: Request) -> Exchange:
        """Send once, no retry; every transport problem comes back as the exchange's `error`."""
        ident = f"r{next(self._ids):05d}"
        started_utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        headers = {"Accept-Encoding": "identity", "Connection": "close", "X-Request-Id": ident, **request.headers}
        data = _encoded(request.body, headers)
        seen = Observed(request.deadline_s)
        try:
            self._exchange(request, data, headers, seen)
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as broken:
            seen.error = _detail(broken, request.deadline_s, seen.is_late)
        return seen.exchange(ident, request, started_utc)

    def _exchange(
        self, request: Request, data: bytes | memoryview | None, headers: dict[str, str], seen: Observed
    ) -> None:
        # urllib3 pools a connection whatever the request's Connection header says; a session of its own does not
        with requests.Session() as session:
            session.trust_env = self._trust_env
            response = session.request(
                request.method,
                self.base_url + request.path,
                data=data,  # type: ignore[arg-type]  # a memoryview is sent as bytes are
                headers=headers,
                auth=self._auth,
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_TIMEOUT_S, request.deadline_s), request.deadline_s),
            )
            seen.begin(response.status_code, response.headers.items())
            with response, seen.cut_at_deadline(lambda: _shut(response.raw)):
                seen.read(_pieces(response))


class Observed:
    """What is noted while one response is read."""

    def __init__(self, deadline_s: float) -> None:
        self.started_ns = time.monotonic_ns()
        self.deadline_ns = self.started_ns + int(deadline_s * NS)
        self.deadline_s = deadline_s
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.headers_ns: int | None = None
        self.pieces: list[bytes] = []
        self.frames: list[Frame] = []
        self.error: ErrorDetail | None = None

    @property
    def is_late(self) -> bool:
        return time.monotonic_ns() >= self.deadline_ns

    def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Status line and headers are there."""
        self.headers_ns = time.monotonic_ns()
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}

    @contextlib.contextmanager
    def cut_at_deadline(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` at the deadline: a socket's own timeout begins anew with every byte, this one does not."""
        timer = threading.Timer(self.left_s, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, (self.deadline_ns - time.monotonic_ns()) / NS)

    def read(self, pieces: Iterable[bytes]) -> None:
        """Take the body as it arrives."""
        splitter = EventSplitter() if "event-stream" in self.headers.get("content-type", "") else None
        size = 0
        for piece in pieces:
            now = time.monotonic_ns()
            self.pieces.append(piece)
            if splitter is not None:
                self.frames.extend(splitter.feed(piece, now))
            size += len(piece)
            if now > self.deadline_ns:
                self.error = ErrorDetail("timeout", f"not complete after {self.deadline_s:g} s")
                return
            if size > MAX_BODY_BYTES:
                self.error = ErrorDetail("protocol", f"the body exceeds {MAX_BODY_BYTES} bytes")
                return
        if self.is_late:
            self.error = ErrorDetail("timeout", f"not complete after {self.deadline_s:g} s")
            return
        self._whole(size)

    def _whole(self, size: int) -> None:
        promised = self.headers.get("content-length", "")
        if promised.isdigit() and int(promised) != size:
            self.error = ErrorDetail("protocol", f"the body has {size} of the promised {promised} bytes")

    def exchange(self, ident: str, request: Request, started_utc: str) -> Exchange:
        return Exchange(
            id=ident,
            request=request,
            started_utc=started_utc,
            started_ns=self.started_ns,
            finished_ns=time.monotonic_ns(),
            status=self.status,
            headers=self.headers,
            headers_ns=self.headers_ns,
            body=b"".join(self.pieces),
            frames=tuple(self.frames),
            error=self.error,
        )


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives: read1 returns what is there, where read and stream wait for a chunk or for all."""
    raw = response.raw
    read1 = getattr(raw, "read1", None)
    if read1 is None:  # urllib3 1.26
        is_framed = "transfer-encoding" in response.headers or "content-length" in response.headers
        yield from raw.stream(1 << 16 if is_framed else 1, decode_content=False)
        return
    while piece := read1(1 << 16):
        yield piece


def _shut(raw: Any) -> None:
    """End a read that waits; urllib3 before 2.3 cannot, and the socket's own timeout ends it later."""
    with contextlib.suppress(AttributeError, ValueError, RuntimeError, OSError):
        raw.shutdown()


def _encoded(body: Any, headers: dict[str, str]) -> bytes | memoryview | None:
    if body is None or isinstance(body, (bytes, memoryview)):
        return body
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body, ensure_ascii=True).encode("ascii")


def _detail(broken: Exception, deadline_s: float, is_late: bool) -> ErrorDetail:
    text = f"{type(broken).__name__}: {broken}"[:400]
    if is_late:
        return ErrorDetail("timeout", f"not complete after {deadline_s:g} s")
    timed_out = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    if isinstance(broken, timed_out) or "Read timed out" in text:
        return ErrorDetail("timeout", f"nothing more within {deadline_s:g} s ({type(broken).__name__})")
    if "reset by peer" in text or "Broken pipe" in text or "Connection aborted" in text or "RemoteDisconnected" in text:
        return ErrorDetail("reset", text)
    if isinstance(broken, (requests.ConnectionError, ConnectionError)):
        reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
        return ErrorDetail("connect", reason[1].lower() if reason else text)
    return ErrorDetail("protocol", text)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine by a loopback address or as localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
