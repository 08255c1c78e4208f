"""The client of the tests: sets deadlines, knows first uses and records every exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import sleep
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from vlm_acceptance.client.chat import chat, chat_body, get
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import send_all
from vlm_acceptance.client.processor import ProcessorClock
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.exchange import Exchange, Request

Seen = TypeVar("Seen")


class Tape(Protocol):
    """Keeps what a test sees beside single requests, so that a stored run can be judged again."""

    def observed(
        self,
        name: str,
        make: Callable[[], Seen],
        recorded: Callable[[], Sequence[str]] = ...,
        kept: Callable[[Seen], Seen] = ...,
    ) -> Seen:
        """What `make` makes, of which `kept` is stored; `recorded`: ids of exchanges that were recorded meanwhile."""


class RecordingClient:
    """Sends requests for one model; `warm` holds kinds that were sent before, `defaults` fields for every body.

    `clock` observes the waits for a processor around requests that are timed. `tape` keeps what is seen of many
    requests together, so that a stored run can be judged again.
    """

    def __init__(
        self,
        client: Client,
        model_id: str,
        deadlines: Deadlines,
        record: Callable[[Exchange], None],
        warm: set[str],
        defaults: Mapping[str, Any] = MappingProxyType({}),
        clock: ProcessorClock | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.http = client
        self.model_id = model_id
        self.deadlines = deadlines
        self._recorder = record
        self._recorded: list[str] = []
        self._tape = tape
        self._warm = warm
        self.defaults = defaults
        self.clock = clock or ProcessorClock()

    def is_warm(self, kind: str) -> bool:
        """Whether a request of this kind was answered or failed before."""
        return kind in self._warm

    def deadline(self, kind: str) -> float:
        """Deadline in seconds for a request of this kind; the first one gets more."""
        return self.deadlines.request_s if kind in self._warm else self.deadlines.cold_s

    def chat(self, prompt: str, pictures: Sequence[str] = (), **params: Any) -> Exchange:
        """One greedy chat request about pictures given as URLs; `params` replace or add body fields."""
        return self.body(chat_body(self.model_id, prompt, pictures, **params))

    def body(self, body: dict[str, Any], deadline_s: float | None = None) -> Exchange:
        """One chat request with exactly this body; without `deadline_s` (seconds) the deadline of its kind holds."""
        request = self.request(body)
        return self.send(request if deadline_s is None else replace(request, deadline_s=deadline_s), kind_of(body))

    def timed(self, body: dict[str, Any]) -> Exchange:
        """One chat request with exactly this body, with the readings of the clock."""
        return self.send(self.request(body), kind_of(body), self.clock)

    def request(self, body: dict[str, Any]) -> Request:
        """The chat request of a body; does not send it."""
        return chat({**self.defaults, **body}, self.deadline(kind_of(body)))

    def get(self, path: str) -> Exchange:
        """A GET request with the health deadline."""
        return self.send(get(path, self.deadlines.health_s), "get")

    def send(self, request: Request, kind: str = "raw", clock: ProcessorClock | None = None) -> Exchange:
        """Send any request and record the exchange."""
        exchange = self.http.send(request) if clock is None else self.http.send(request, clock)
        self._record(exchange)
        self._warm.add(kind)
        return exchange

    def observed(
        self,
        name: str,
        kind: Any,  # noqa: ARG002
        make: Callable[[], Seen],
        bodies: Sequence[dict[str, Any]] = (),  # noqa: ARG002
        kept: Callable[[Seen], Seen] = lambda seen: seen,
    ) -> Seen:
        """What `make` makes of many requests and their times, of type `kind`; `bodies` are those of chat requests.

        `kept` gives what is to be stored of it.
        """
        if self._tape is None:
            return make()
        before = len(self._recorded)
        return self._tape.observed(name, make, lambda: self._recorded[before:], kept)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        sleep(seconds)

    def all(
        self, bodies: Sequence[dict[str, Any]], concurrency: int, form: Callable[[Exchange], Exchange] = lambda one: one
    ) -> list[Exchange]:
        """Many chat requests, at most `concurrency` (1 to 64) at once; the n-th exchange answers the n-th body.

        Of each exchange `form` makes what is recorded and given back.
        """
        requests = [self.request(body) for body in bodies]
        exchanges = [form(one) for one in send_all(self.http, requests, concurrency)]
        for body, exchange in zip(bodies, exchanges, strict=True):
            self.keep(exchange, body)
        return exchanges

    def keep(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Record the exchange of a chat request that was sent without this client."""
        self._record(exchange)
        self._warm.add(kind_of(body))

    def _record(self, exchange: Exchange) -> None:
        self._recorded.append(exchange.id)
        self._recorder(exchange)


def kind_of(body: dict[str, Any]) -> str:
    """A name for the features of a body that make an engine compile, such as `chat+stream+picture`."""
    features = [name for name in ("stream", "logprobs", "prompt_logprobs", "n", "stop", "tools") if body.get(name)]
    features += ["structured"] if body.get("response_format") or body.get("structured_outputs") else []
    contents = [message.get("content") for message in body.get("messages") or [] if isinstance(message, dict)]
    features += ["sampled"] if body.get("temperature") else []
    features += ["picture"] if any(isinstance(content, list) for content in contents) else []
    return "+".join(["chat", *features])
