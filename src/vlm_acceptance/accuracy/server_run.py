"""Sends the questions of a data set to a served model: one chat request for each, built when it is sent."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Protocol

from vlm_acceptance.accuracy.item import ANSWERED, LOST, REFUSED, Answer, PictureFile, PreparedRequest, kept_text
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Request, token_count

TOKENIZE = "/tokenize"
TRIES = 3
PAUSE_S = 0.5
# statuses of a gateway or of an overloaded engine; they say nothing about the question
PASSING = frozenset({429, 502, 503, 504})
LARGEST_KEPT = 2 << 20  # bytes
JSON_HEADERS = {"Content-Type": "application/json"}


class Pictures(Protocol):
    """Where the bytes of stored pictures come from."""

    def picture_bytes(self, picture: PictureFile) -> bytes: ...


class QuestionSender:
    """Sends questions to one served model, also from many threads; fields of a question replace the `defaults`."""

    def __init__(
        self,
        client: Client,
        model_id: str,
        pictures: Pictures,
        deadline_s: float,
        defaults: Mapping[str, Any] = MappingProxyType({}),
        pause_s: float = PAUSE_S,
    ) -> None:
        self._client = client
        self._model_id = model_id
        self._pictures = pictures
        self._deadline_s = deadline_s
        self._defaults = defaults
        self._pause_s = pause_s
        # glibc returns freed blocks of this size to the system until a larger block was freed; fresh pages for each
        # body would take a fifth of the time per request
        _ = bytes(LARGEST_KEPT)

    def send(self, question: PreparedRequest) -> Answer:
        """Send one question. A request is sent again, up to TRIES times, only if no response to it began."""
        request = Request("POST", CHAT, self.body(question), JSON_HEADERS, self._deadline_s)
        attempts: list[str] = []
        exchange = self._client.send(request)
        while _never_began(exchange) and len(attempts) < TRIES - 1:
            assert exchange.error is not None
            attempts.append(f"{exchange.error.kind}: {exchange.error.message}")
            time.sleep(self._pause_s)
            exchange = self._client.send(request)
        return _answer(question, self._model_id, exchange, tuple(attempts))

    def body(self, question: PreparedRequest) -> bytes:
        """The chat request as JSON: system message, then pictures in order and one text."""
        return self._body({**self._defaults, **question.params}, question)

    def _body(self, fields: Mapping[str, Any], question: PreparedRequest) -> bytes:
        fields = {"model": self._model_id, **fields, **tile_limit(question)}
        pieces = [_dumps(fields)[:-1], b', "messages": [']
        pieces += [_dumps(message) + b", " for message in system_messages(question.system)]
        pieces.append(b'{"role": "user", "content": [')
        for picture in question.pictures:  # not through the JSON encoder, which copies megabytes several times
            data = b64encode(self._pictures.picture_bytes(picture))
            lead = picture_lead(picture).encode("ascii")
            pieces += [b'{"type": "image_url", "image_url": {"url": "', lead, data, b'"}}, ']
        pieces += [_dumps({"type": "text", "text": question.text}), b"]}]}"]
        return b"".join(pieces)

    def tokenized(self, question: PreparedRequest) -> int | None:
        """Prompt tokens of a request by /tokenize; None when the endpoint does not count them."""
        template = {name: self._defaults[name] for name in ("chat_template_kwargs",) if name in self._defaults}
        body = self._body(template, question)
        return _count_of(self._client.send(Request("POST", TOKENIZE, body, JSON_HEADERS, self._deadline_s)))

    def prompt_tokens(self, question: PreparedRequest) -> int | NoReply:
        """Prompt tokens of a request by its answer; NoReply when the endpoint does not report them."""
        sent = self._client.send(Request("POST", CHAT, self.body(question), JSON_HEADERS, self._deadline_s))
        reply = sent.reply_by(self._model_id)
        if isinstance(reply, NoReply):
            return reply
        count = token_count(reply.usage.prompt) if reply.usage else None
        return NoReply("the answer's usage has no number of prompt tokens", sent) if count is None else count


def system_messages(text: str) -> list[dict[str, Any]]:
    """A list with the system message, empty for ''."""
    return [{"role": "system", "content": text}] if text else []


def tile_limit(question: PreparedRequest) -> dict[str, Any]:
    """The body field that limits the tiles of a picture; empty where the model's own limit holds."""
    return {} if question.max_tiles is None else {"mm_processor_kwargs": {"max_dynamic_patch": question.max_tiles}}


def picture_lead(picture: PictureFile) -> str:
    """The start of a data URL of the picture, up to its base64 data."""
    kind = PurePath(picture.file).suffix.lower().removeprefix(".")
    return f"data:image/{'jpeg' if kind == 'jpg' else kind};base64,"


def _never_began(exchange: Exchange) -> bool:
    """Whether the connection broke before the first byte of a response: then it is safe to send the request again."""
    error = exchange.error if exchange.status is None else None
    return error is not None and error.kind in ("connect", "reset") and "BadStatusLine" not in error.message


def _answer(question: PreparedRequest, model_id: str, exchange: Exchange, attempts: tuple[str, ...]) -> Answer:
    reply = exchange.reply_by(model_id)
    answered = None if isinstance(reply, NoReply) else reply
    text, error = (None, str(reply)) if answered is None else kept_text(answered.text)
    usage = answered.usage if answered else None
    return Answer(
        id=question.id,
        status=ANSWERED if answered else LOST if exchange.error or exchange.status in PASSING else REFUSED,
        text=text,
        finish_reason=answered.finish_reason if answered else None,
        prompt_tokens=token_count(usage.prompt) if usage else None,
        completion_tokens=token_count(usage.completion) if usage else None,
        error=error,
        http_status=exchange.status,
        started_utc=exchange.started_utc,
        elapsed_s=round(exchange.elapsed_s, 6),
        attempts=attempts,
        prompt_sha256=question.sha256,
        pictures=tuple(picture.sha256 for picture in question.pictures),
        model=answered.model if answered else None,
    )


def _count_of(exchange: Exchange) -> int | None:
    if exchange.error is not None or exchange.status != 200:
        return None
    try:
        return token_count(exchange.json()["count"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _dumps(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")
