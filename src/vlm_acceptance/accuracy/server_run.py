"""Asks a served model the questions of a benchmark: one chat request a question, built when it is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Protocol

from vlm_acceptance.accuracy.bodies import Bodies, Encode
from vlm_acceptance.accuracy.item import ANSWERED, LOST, REFUSED, Answer, PictureFile, PreparedRequest, kept_text
from vlm_acceptance.client.direct import direct
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Reply, Request, token_count

TOKENIZE = "/tokenize"
TRIES = 3
PAUSE_S = 0.5
# Said by what stands before an engine, or by an engine that is busy: no word about the question.
PASSING = frozenset({429, 502, 503, 504})
_JSON = {"Content-Type": "application/json"}


class Pictures(Protocol):
    """Where the bytes of stored pictures come from."""

    def picture_bytes(self, picture: PictureFile) -> bytes: ...


class ServerAsker:
    """Asks one served model. `deadline_s` bounds each request, `defaults` are body fields a question may override.

    May be called from many threads at once.
    """

    def __init__(
        self,
        client: Client,
        model_id: str,
        pictures: Pictures,
        deadline_s: float,
        defaults: Mapping[str, Any] = MappingProxyType({}),
        pause_s: float = PAUSE_S,
    ) -> None:
        self._client = direct(client)
        self._model_id = model_id
        self._pictures = pictures
        self._deadline_s = deadline_s
        self._defaults = defaults
        self._pause_s = pause_s
        self._bodies = Bodies()

    def __call__(self, asked: PreparedRequest) -> Answer:
        """Ask one question; whatever the endpoint does, the answer says it."""
        return self.prepare(asked)()

    def prepare(self, asked: PreparedRequest) -> Callable[[], Answer]:
        """Build the request, pictures and all; calling the result sends it."""
        body = self._bodies.filled(self._pieces(asked))

        def send() -> Answer:
            try:
                return self._sent(asked, Request("POST", CHAT, body.whole, _JSON, self._deadline_s))
            finally:
                self._bodies.give_back(body)

        return send

    def body(self, asked: PreparedRequest) -> bytes:
        """The chat request as JSON: system message, then pictures in order and one text."""
        return bytes(Bodies().filled(self._pieces(asked)).whole)

    def _pieces(self, asked: PreparedRequest) -> list[bytes | Encode]:
        fields = {"model": self._model_id, **self._defaults, **asked.params, **tile_limit(asked)}
        system = b"".join(_dumps(message) + b"," for message in system_messages(asked.system))
        # pictures go around the JSON encoder, which would copy megabytes of them several times
        pieces: list[bytes | Encode] = [_dumps(fields)[:-1], b',"messages":[', system, b'{"role":"user","content":[']
        for picture in asked.pictures:
            lead = b'{"type":"image_url","image_url":{"url":"' + picture_lead(picture).encode("ascii")
            pieces += [lead, Encode(self._pictures.picture_bytes(picture)), b'"}},']
        return [*pieces, _dumps({"type": "text", "text": asked.text}), b"]}]}"]

    def ask_text(self, text: str, system: str) -> int | NoReply:
        """Prompt tokens of the same conversation without pictures; NoReply when the endpoint does not report them."""
        messages = [*system_messages(system), {"role": "user", "content": [{"type": "text", "text": text}]}]
        body: dict[str, Any] = {"model": self._model_id, "messages": messages}
        template = {name: self._defaults[name] for name in ("chat_template_kwargs",) if name in self._defaults}
        told = self._client.send(Request("POST", TOKENIZE, {**body, **template}, deadline_s=self._deadline_s))
        count = _count_of(told)
        if count is not None:
            return count
        short = {**body, **self._defaults, "temperature": 0.0, "max_tokens": 1}
        sent = self._client.send(Request("POST", CHAT, short, deadline_s=self._deadline_s))
        reply = sent.reply_by(self._model_id)
        if isinstance(reply, NoReply):
            return reply
        count = token_count(reply.usage.prompt) if reply.usage else None
        return NoReply("neither /tokenize nor usage has the number of prompt tokens", sent) if count is None else count

    def _sent(self, asked: PreparedRequest, request: Request) -> Answer:
        attempts: list[str] = []
        exchange = self._client.send(request)
        while _never_began(exchange) and len(attempts) < TRIES - 1:
            assert exchange.error is not None
            attempts.append(f"{exchange.error.kind}: {exchange.error.message}")
            time.sleep(self._pause_s)
            exchange = self._client.send(request)
        return _answer(asked, self._model_id, exchange, tuple(attempts))


def system_messages(text: str) -> list[dict[str, Any]]:
    """The system message; none for ''."""
    return [{"role": "system", "content": text}] if text else []


def tile_limit(asked: PreparedRequest) -> dict[str, Any]:
    """The field that limits a request's tiles; none where the model's own limit holds."""
    return {} if asked.max_tiles is None else {"mm_processor_kwargs": {"max_dynamic_patch": asked.max_tiles}}


def picture_lead(picture: PictureFile) -> str:
    """What a data URL of the picture begins with."""
    kind = PurePath(picture.file).suffix.lower().removeprefix(".")
    return f"data:image/{'jpeg' if kind == 'jpg' else kind};base64,"


def _never_began(exchange: Exchange) -> bool:
    """Whether the connection broke before the first byte of a response: only then is a second try the first one."""
    error = exchange.error
    if error is None or exchange.status is not None or error.kind not in ("connect", "reset"):
        return False
    return "BadStatusLine" not in error.message


def _answer(asked: PreparedRequest, model_id: str, exchange: Exchange, attempts: tuple[str, ...]) -> Answer:
    reply = exchange.reply_by(model_id)
    said = None if isinstance(reply, NoReply) else reply
    text, error = (None, str(reply)) if said is None else kept_text(said.text)
    usage = said.usage if said else None
    return Answer(
        id=asked.id,
        status=_status(exchange, said),
        text=text,
        finish_reason=said.finish_reason if said else None,
        prompt_tokens=token_count(usage.prompt) if usage else None,
        completion_tokens=token_count(usage.completion) if usage else None,
        error=error,
        http_status=exchange.status,
        started_utc=exchange.started_utc,
        elapsed_s=round(exchange.elapsed_s, 6),
        attempts=attempts,
        prompt_sha256=asked.sha256,
        pictures=tuple(picture.sha256 for picture in asked.pictures),
        model=said.model if said else None,
    )


def _status(exchange: Exchange, said: Reply | None) -> Any:
    if said is not None:
        return ANSWERED
    return LOST if exchange.error is not None or exchange.status in PASSING else REFUSED


def _count_of(exchange: Exchange) -> int | None:
    if exchange.error is not None or exchange.status != 200:
        return None
    try:
        return token_count(exchange.json()["count"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode("ascii")
