"""Clients that answer from the exchanges of a stored run. They open no connection."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn

from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.processor import OWN_CLOCK, ProcessorClock
from vlm_acceptance.client.recording import RecordingClient, Seen
from vlm_acceptance.config.profile_sections import Sizes
from vlm_acceptance.core.errors import (
    DeploymentFailure,
    DeviceProblem,
    EngineFailure,
    EnvironmentProblem,
    HarnessProblem,
    NoAnswer,
    NotRun,
    NotStored,
    PortTaken,
    VlmAcceptanceError,
    WeightsProblem,
)
from vlm_acceptance.core.exchange import CHAT, NS, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.stored_values import ExchangeOf, value_of
from vlm_acceptance.core.waiting import ProcessorReading

# servers of pictures on this machine have another port in each run
_PORT = re.compile(r"(http://(?:127\.0\.0\.1|localhost)):\d+")
# what the making of an observation may raise
RAISED: tuple[type[VlmAcceptanceError], ...] = (
    EnvironmentProblem, DeviceProblem, WeightsProblem, PortTaken, NoAnswer, DeploymentFailure, EngineFailure, NotRun,
)  # fmt: skip
Row = Mapping[str, Any]
Form = Callable[[Any], Any]


class StillClock(ProcessorClock):
    """Reads nothing: the waits of a stored run are in its exchanges."""

    def begin(self) -> ProcessorReading:
        """A reading without counters."""
        return ProcessorReading(0)

    def read(self, at_ns: int | None = None) -> ProcessorReading:  # noqa: ARG002
        """A reading without counters."""
        return ProcessorReading(0)


class StoredExchanges:
    """The exchanges of a run by test; each answers one request of the same test, in the order in which they came.

    `form` makes the stored form of a request's body: pictures by their hashes.
    """

    def __init__(self, rows: Sequence[Row], form: Form) -> None:
        self._form = form
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], deque[Row]] = defaultdict(deque)
        self._by_id: dict[tuple[str, str], Row] = {}
        self._anywhere: dict[str, Row] = {}
        self._made: dict[tuple[str, str], Exchange] = {}
        for row in rows:
            key = _key(row["method"], row["path"], row.get("request"))
            self._waiting[row["test"], key].append(row)
            self._by_id[row["test"], row["id"]] = row
            self._anywhere.setdefault(key, row)
        bodies = (row.get("request") for row in rows if row["path"] == CHAT)
        models = Counter(str(body.get("model")) for body in bodies if isinstance(body, Mapping))
        self.usual_model = models.most_common(1)[0][0] if models else ""

    def answer(self, test: str, request: Request, *, is_timed: bool = False) -> Exchange:
        """The next exchange of this test with this request; NotStored without one that can be judged."""
        key = self._key_of(request)
        with self._lock:
            waiting = self._waiting.get((test, key))
            row = waiting.popleft() if waiting else None
        if row is None:
            raise NotStored(f"{request.method} {request.path} of this test, with this body")
        if is_timed and "started_ns" not in row:  # an earlier version kept no waits: a busy machine would be no excuse
            raise NotStored("what was waited for a processor while times were measured")
        return self._exchange(test, row, request)

    def anywhere(self, request: Request) -> Exchange | None:
        """The first exchange of any test with this request; None without one."""
        row = self._anywhere.get(self._key_of(request))
        return None if row is None else self._exchange(str(row["test"]), row, request)

    def by_id(self, test: str, stored: Any, requests: Sequence[Request] = ()) -> Exchange:
        """The exchange that a value of this test names by its id, or as a whole; `requests` may have its pictures."""
        if isinstance(stored, Mapping):
            return exchange_of(stored)
        with self._lock:
            if (made := self._made.get((test, stored))) is not None:
                return made
            row = self._by_id.get((test, stored))
            if row is None:
                raise NotStored(f"the request {stored!r:.40}")
            key = _key(row["method"], row["path"], row.get("request"))
            waiting = self._waiting.get((test, key))
            if waiting and row in waiting:
                waiting.remove(row)
        own = next((one for one in requests if self._key_of(one) == key), None)
        request = None if own is None else replace(own, deadline_s=row["deadline_s"])
        return self._exchange(test, row, request)

    def _key_of(self, request: Request) -> str:
        return _key(request.method, request.path, self._form(request.body))

    def _exchange(self, test: str, row: Row, request: Request | None) -> Exchange:
        if "cut" in row:
            raise NotStored(f"an answer as a whole: it was cut when it was stored ({row['cut']!r:.60})")
        made = _within_deadline(exchange_of(row, request), float(row["deadline_s"]))
        with self._lock:
            self._made[test, made.id] = made
        return made


@dataclass(frozen=True, slots=True)
class Taken:
    """A line of observations.jsonl."""

    row: Row

    @property
    def recorded(self) -> Sequence[str]:
        """Ids of the exchanges that were recorded while it was made."""
        found = self.row.get("exchanges")
        return [str(ident) for ident in found] if isinstance(found, list) else []

    def value(self, kind: Any, exchange_of: ExchangeOf) -> Any:
        """The value of this type; what was raised in its place is raised again; NotStored for an unreadable line."""
        if (raised := self.row.get("raised")) is not None:
            name, text = map(str, raised) if isinstance(raised, list) and len(raised) == 2 else ("", shown(raised))
            raise {one.__name__: one for one in RAISED}.get(name, HarnessProblem)(text)
        try:
            return value_of(kind, self.row.get("value"), exchange_of)
        except ValueError as broken:
            ours = self.row.get("name")
            raise NotStored(f"the observation {ours!r:.40} in a form that can be read ({str(broken)[:200]})") from None


class StoredObservations:
    """What the tests of a run saw beside single requests, each taken once, in the order in which it was stored."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._waiting: dict[tuple[str, str], deque[Row]] = defaultdict(deque)
        for row in rows:
            self._waiting[row["test"], row["name"]].append(row)

    def has(self, test: str, name: str) -> bool:
        """Whether there is one more of this name."""
        return bool(self._waiting.get((test, name)))

    def next(self, test: str, name: str) -> Taken | None:
        """The next one, which stays to be taken; None without one."""
        return Taken(self._waiting[test, name][0]) if self.has(test, name) else None

    def take(self, test: str, name: str) -> Taken:
        """The next one; NotStored without one."""
        if not self.has(test, name):
            raise NotStored(f"the observation {name!r:.40}")
        waiting = self._waiting[test, name]
        # what is seen of the whole run is looked at by several tests
        is_kept = not test and len(waiting) == 1
        return Taken(waiting[0] if is_kept else waiting.popleft())


class ReplayedClient(Client):
    """Answers the requests of one test from a stored run. Whatever needs an address of it is not run."""

    def __init__(self, stored: StoredExchanges, test: str = "") -> None:
        # not that of Client: it has no address, and no proxy or certificates
        self.stored = stored
        self.test = test
        self.api_key = None
        self.sizes = Sizes()
        self.gateway = Gateway()

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("base_url", "proxy", "certificates"):
            raise NotStored("what the connections of this test saw")
        raise AttributeError(name)

    def watched_by(self, waits: object) -> ReplayedClient:  # noqa: ARG002
        """The same client: late exchanges have their readings."""
        return self

    def send(self, request: Request, clock: ProcessorClock = OWN_CLOCK) -> Exchange:
        """The stored exchange; NotStored without one, and where its times are judged but not what it waited for."""
        return self.stored.answer(self.test, request, is_timed=clock is not OWN_CLOCK)


class ReplayedRecordingClient(RecordingClient):
    """The client of the tests of a stored run: one request after the other, and no waiting."""

    http: ReplayedClient
    observations: StoredObservations

    def all(
        self,
        bodies: Sequence[dict[str, Any]],
        concurrency: int,  # noqa: ARG002
        form: Callable[[Exchange], Exchange] = lambda one: one,
    ) -> list[Exchange]:
        """The stored exchanges; the n-th answers the n-th body."""
        exchanges = [form(self.http.send(self.request(body))) for body in bodies]
        for body, exchange in zip(bodies, exchanges, strict=True):
            self.keep(exchange, body)
        return exchanges

    def observed(
        self,
        name: str,
        kind: Any,
        make: Callable[[], Seen],  # noqa: ARG002
        bodies: Sequence[dict[str, Any]] = (),
        kept: Callable[[Seen], Seen] = lambda seen: seen,  # noqa: ARG002
    ) -> Seen:
        """What the stored run has seen; its exchanges are recorded once more, as far as it recorded them."""
        requests = [self.request(body) for body in bodies]
        stored, test = self.http.stored, self.http.test

        def exchange_of_id(ident: Any) -> Exchange:
            return stored.by_id(test, ident, requests)

        taken = self.observations.take(test, name)
        for ident in taken.recorded:
            exchange = exchange_of_id(ident)
            body = exchange.request.body
            if isinstance(body, dict) and "messages" in body:
                self.keep(exchange, body)
            else:
                self._record(exchange)
        seen: Seen = taken.value(kind, exchange_of_id)
        return seen

    def pause(self, seconds: float) -> None:
        """Nothing: the stored run has waited."""


def exchange_of(row: Row, request: Request | None = None) -> Exchange:
    """The exchange of a line of exchanges.jsonl; `request` is the one that it answers, if it is at hand.

    KeyError, TypeError or ValueError for a line that is not valid.
    """
    error, status = row.get("error"), row.get("status")
    start = int(row["started_ns"]) if "started_ns" in row else _clock_ns(row["started_utc"])
    frames = tuple(Frame(start + round(at * NS), str(data), str(event)) for at, event, data in row.get("frames") or ())
    own = Request(
        str(row["method"]),
        str(row["path"]),
        row.get("request"),
        deadline_s=float(row["deadline_s"]),
        stream=bool(row.get("stream")),
    )
    return Exchange(
        id=str(row["id"]),
        request=request or own,
        started_utc=str(row["started_utc"]),
        started_ns=start,
        finished_ns=start + round(float(row["elapsed_s"]) * NS),
        status=None if status is None else int(status),
        headers={str(name): str(value) for name, value in row["headers"].items()},
        body=_body(row, frames),
        frames=frames,
        error=ErrorDetail(str(error["kind"]), str(error["message"])) if error else None,
        readings=tuple(ProcessorReading(*map(_count, one)) for one in row.get("readings") or ()),  # type: ignore[arg-type]
    )


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def _body(row: Row, frames: Sequence[Frame]) -> bytes:
    if "body_base64" in row:
        return base64.b64decode(row["body_base64"], validate=True)
    if row.get("body") is not None:
        return str(row["body"]).encode("utf-8", "surrogatepass")
    lines = (f"event: {one.event}\ndata: {one.data}" if one.event else f"data: {one.data}" for one in frames)
    return "".join(f"{line}\n\n" for line in lines).encode("utf-8", "surrogatepass")


def _clock_ns(started_utc: str) -> int:
    """A time for a run of an earlier version, which stored none that is monotonic: in nanoseconds, with steps of ms."""
    return round(datetime.fromisoformat(started_utc).timestamp() * 1000) * (NS // 1000)


def _key(method: str, path: str, body: Any) -> str:
    return _PORT.sub(r"\1", json.dumps([method, path, body], sort_keys=True, default=str))


def _within_deadline(exchange: Exchange, stored_s: float) -> Exchange:
    """The exchange as it would be with the deadline of its request; NotStored where the run did not wait so long."""
    wanted_s = exchange.request.deadline_s
    if exchange.is_late and wanted_s > stored_s:
        raise NotStored(f"an answer that may take {wanted_s:g} s; the run waited {stored_s:g} s for it")
    if wanted_s >= stored_s or exchange.elapsed_s <= wanted_s:
        return exchange
    until_ns = exchange.started_ns + round(wanted_s * NS)
    frames = tuple(one for one in exchange.frames if one.at_ns <= until_ns)
    return replace(
        exchange,
        finished_ns=until_ns,
        status=exchange.status if frames else None,
        frames=frames,
        body=b"",
        error=ErrorDetail("timeout", f"not complete after {wanted_s:g} s"),
    )
