"""One request in, one Exchange out. Every request of the suite but those of official.py; it does not judge."""

from __future__ import annotations

import contextlib
import copy
import http.client
import ipaddress
import itertools
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3.exceptions import NewConnectionError, ProxyError, SSLError

from vlm_acceptance.client.connection import InterimFlood, Wire, watch
from vlm_acceptance.client.cutoff import Cutoff
from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.processor import OWN_CLOCK, ProcessorClock
from vlm_acceptance.client.sse import EventSplitter
from vlm_acceptance.config.profile_sections import Sizes
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.waiting import ProcessorReading

CONNECT_TIMEOUT_S = 10.0
# of an answer that is too large: enough to see what it is
KEPT_BYTES, KEPT_EVENTS = 1 << 14, 100
# of a header: http.client takes a hundred of 64 kB
HEADER_CHARACTERS = 2000
# the longest stream that is asked for has some hundred
MOST_EVENTS = 20_000
# the first event may have only the role, the next one has the first text
EVENTS_READ = 3
HEADERS = {"User-Agent": "vlm-acceptance", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
TIMEOUTS = (urllib3.exceptions.TimeoutError, TimeoutError)
# it logs headers that it cannot read, with a traceback; the exchange has what there is to say
logging.getLogger("urllib3").setLevel(logging.ERROR)
UNCONNECTED = (NewConnectionError, ProxyError, SSLError, ConnectionError)


class Client:
    """Sends requests to one endpoint, each over a connection of its own: servers may close idle connections.

    A request's deadline is a wall clock from before its connection to the last byte of its answer; `sizes` limits that
    answer. Uses the environment's certificates and proxies, no proxy for loopback, and no ~/.netrc. A request's own
    Authorization header replaces the key; an empty one is not sent.
    """

    def __init__(
        self, base_url: str, api_key: str | None = None, sizes: Sizes | None = None, gateway: Gateway | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        self.sizes = sizes or Sizes()
        self.gateway = gateway or Gateway()
        self._ids = itertools.count(1)
        self._cutoff = Cutoff()
        self._waits: Callable[[Exchange], tuple[ProcessorReading, ...]] | None = None
        self.proxy, found = _network_settings(self.base_url)
        self.certificates = self.gateway.ca_bundle or found

    def watched_by(self, waits: Callable[[Exchange], tuple[ProcessorReading, ...]]) -> Client:
        """The same client; an exchange that is late gets these readings, to see whether the machine was too busy."""
        made = copy.copy(self)
        made._waits = waits
        return made

    def send(self, request: Request, clock: ProcessorClock = OWN_CLOCK) -> Exchange:
        """Send once, no retry; every transport problem comes back as the exchange's `error`.

        The exchange holds readings of the clock: before the start, at the first events, after the end. Only what a
        gateway postpones is sent again, as Gateway says.
        """
        self.gateway.pace()
        exchange, tries = self._sent(request, clock), 0
        while self.gateway.postpones(exchange, tries):
            self.gateway.pace()
            exchange, tries = self._sent(request, clock), tries + 1
        return exchange

    def _sent(self, request: Request, clock: ProcessorClock) -> Exchange:
        ident = f"r{next(self._ids):05d}"
        started_utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        key = request.headers.get("Authorization", f"Bearer {self.api_key}" if self.api_key else "")
        headers = {**HEADERS, "X-Request-Id": ident, **self.gateway.headers, **request.headers, "Authorization": key}
        if not key:
            del headers["Authorization"]
        data = _encoded(request.body, headers)
        first = clock.begin()
        seen = self._observed(request)
        seen.clock, seen.readings = clock, [first]
        try:
            self._exchange(request, data, headers, seen)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as broken:
            seen.error = _detail(broken, request.deadline_s, seen.is_late)
        exchange = seen.exchange(ident, request, started_utc)
        if self._waits is None or not exchange.is_late:
            return exchange
        return replace(exchange, readings=self._waits(exchange))

    def _observed(self, request: Request) -> Observed:
        return Observed(request.deadline_s, self.sizes.largest(request))

    def _exchange(self, request: Request, data: bytes | None, headers: dict[str, str], seen: Observed) -> None:
        url = self.base_url + request.path
        # urllib3 would keep the connection in spite of the request's Connection header; closing the adapter closes it
        with (
            contextlib.closing(requests.adapters.HTTPAdapter(pool_maxsize=1)) as adapter,
            contextlib.closing(Wire(seen.deadline_ns)) as wire,
            self._cutoff.at(seen.deadline_ns, wire.cut),
        ):
            manager = adapter.proxy_manager_for(self.proxy) if self.proxy else adapter.poolmanager
            pool = manager.connection_from_url(url)
            watch(pool, wire)
            if url.startswith("https:"):
                adapter.cert_verify(pool, url, self.certificates, None)  # type: ignore[no-untyped-call]
            response = manager.urlopen(
                request.method,
                url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, request.deadline_s), read=request.deadline_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            seen.begin(response.status, response.headers.items())
            with response:
                seen.read(_pieces(response))


class Observed:
    """Collects one response of at most `largest` bytes while it is read."""

    def __init__(self, deadline_s: float, largest: int) -> None:
        self.started_ns = time.monotonic_ns()
        self.deadline_ns = self.started_ns + int(deadline_s * NS)
        self.deadline_s = deadline_s
        self.largest = largest
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.headers_ns: int | None = None
        self.body = bytearray()
        self.frames: list[Frame] = []
        self.error: ErrorDetail | None = None
        self.clock = OWN_CLOCK
        self.readings: list[ProcessorReading] = []

    @property
    def is_late(self) -> bool:
        return time.monotonic_ns() >= self.deadline_ns

    def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Take the status line and the headers."""
        self.headers_ns = time.monotonic_ns()
        self.status = status
        self.headers = {name.lower()[:HEADER_CHARACTERS]: value[:HEADER_CHARACTERS] for name, value in headers}

    def read(self, pieces: Iterable[bytes]) -> None:
        """Take the pieces of the body as they arrive."""
        splitter = EventSplitter() if "event-stream" in self.headers.get("content-type", "") else None
        for piece in pieces:
            now = time.monotonic_ns()
            self.body += piece
            if splitter is not None:
                self.frames.extend(splitter.feed(piece, now))
                if self.frames and len(self.readings) <= EVENTS_READ:
                    self.readings.append(self.clock.read(now))
            if now > self.deadline_ns:
                break
            if len(self.body) > self.largest or len(self.frames) > MOST_EVENTS:
                self._cut()
                return
        promised = self.headers.get("content-length", "")
        if self.is_late:
            self.error = ErrorDetail("timeout", f"not complete after {self.deadline_s:g} s")
        elif promised.isdigit() and promised.lstrip("0") != str(len(self.body) or ""):
            self.error = ErrorDetail("protocol", f"the body has {len(self.body)} of the promised {promised:.20} bytes")

    def _cut(self) -> None:
        """Keep the start of a body that is too large."""
        size, events = len(self.body), len(self.frames)
        too_much = f"{events} events" if events > MOST_EVENTS else f"{size} bytes"
        most = f"{MOST_EVENTS} events" if events > MOST_EVENTS else f"{self.largest} bytes"
        del self.body[KEPT_BYTES:], self.frames[KEPT_EVENTS:]
        kept = f"cut: {len(self.body)} of {size} bytes are kept"
        self.error = ErrorDetail("protocol", f"the body exceeds {most}: {too_much} came, then it was not read ({kept})")

    def exchange(self, ident: str, request: Request, started_utc: str) -> Exchange:
        finished_ns = time.monotonic_ns()
        self.readings.append(self.clock.read())
        return Exchange(
            id=ident,
            request=request,
            started_utc=started_utc,
            started_ns=self.started_ns,
            finished_ns=finished_ns,
            status=self.status,
            headers=self.headers,
            headers_ns=self.headers_ns,
            body=bytes(self.body),
            frames=tuple(self.frames),
            error=self.error,
            readings=tuple(self.readings),
        )


def _pieces(response: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives: read1 returns the bytes at hand, read and stream wait for a chunk or for all."""
    read1 = getattr(response, "read1", None)
    if read1 is None:  # urllib3 1.26
        is_framed = "transfer-encoding" in response.headers or "content-length" in response.headers
        yield from response.stream(1 << 16 if is_framed else 1, decode_content=False)
        return
    while piece := read1(1 << 16):
        yield piece


def _encoded(body: Any, headers: dict[str, str]) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(body, ensure_ascii=True).encode("ascii")


def _detail(broken: Exception, deadline_s: float, is_late: bool) -> ErrorDetail:
    text = f"{type(broken).__name__}: {broken}"[:400]
    if is_late:
        return ErrorDetail("timeout", f"not complete after {deadline_s:g} s")
    # urllib3 1.26 calls every connection that cannot be opened a timeout
    if isinstance(broken, TIMEOUTS) and not isinstance(broken, NewConnectionError):
        return ErrorDetail("timeout", f"nothing more within {deadline_s:g} s ({type(broken).__name__})")
    if isinstance(broken, urllib3.exceptions.ProtocolError) and isinstance(broken.args[-1], TimeoutError):
        return ErrorDetail("timeout", f"the server did not take the request in time ({type(broken).__name__})")
    if isinstance(broken.args[-1] if broken.args else None, InterimFlood):
        return ErrorDetail("protocol", str(broken.args[-1]))
    if any(sign in text for sign in ("reset by peer", "Broken pipe", "Connection aborted", "RemoteDisconnected")):
        return ErrorDetail("reset", text)
    if isinstance(broken, UNCONNECTED):
        reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
        return ErrorDetail("connect", reason[1].lower() if reason else text)
    return ErrorDetail("protocol", text)


def _network_settings(base_url: str) -> tuple[str | None, bool | str | None]:
    """The proxy for a URL, and the file or folder of certificates to trust, True for those of requests."""
    with requests.Session() as session:
        found = session.merge_environment_settings(base_url, {}, None, None, None)
    if is_loopback(base_url):
        return None, found["verify"]
    proxy = requests.utils.select_proxy(base_url, found["proxies"])
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy, found["verify"]


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is a loopback address or localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
