"""A chat endpoint that answers at once, with bodies shaped like vLLM 0.18.

It repeats the question and ignores pictures. It exists to test this project and to time its client; a pass against
it says nothing about any deployment. Standard library only, so that any interpreter can run it:
`python quick_server.py --port 0` prints the port and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

MODEL = "quick-standin"
CHAT = "/v1/chat/completions"
PICTURE_TOKENS = 256
_TOKEN = re.compile(r"\s*[\u4e00-\u9fff]|\s*[^\s\u4e00-\u9fff]+")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"}
_ROUTES = {**dict.fromkeys(("/health", "/v1/models", "/version", "/metrics"), "GET"), CHAT: "POST", "/tokenize": "POST"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON; ValueError when it is not JSON."""
        return json.loads(self.body)


class Refused(Exception):
    """A request this server answers with an error, as vLLM would."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": status}}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server answers. `chat_status` other than 200 refuses every chat request, 0 never answers one.

    `on_chat` is called with the number of chat requests before this one; `token_delay_s` passes before each token;
    videos are passed over, or refused unless `takes_videos`; `says` is the answer to everything, not the question;
    of more choices than `most_choices` only so many are made.
    """

    model: str = MODEL
    max_model_len: int = 4096
    chat_status: int = 200
    token_delay_s: float = 0.0
    takes_videos: bool = True
    says: str = ""
    version: str = "0.18.0"
    most_choices: int | None = None
    on_chat: Callable[[int], object] | None = None


class QuickServer:
    """The endpoint in a thread of this process, as a context manager; `seen` holds the last 64 requests.

    Entering it raises OSError when the port is taken; port 0 takes a free one. `behaviour` may be replaced at any time.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.behaviour, self.host, self.port = behaviour or Behaviour(), host, port
        self.seen: deque[Seen] = deque(maxlen=64)
        self.chats = self.prompt_tokens = self.generation_tokens = 0
        self.connections: set[asyncio.Transport] = set()
        self._started = threading.Event()
        self._bind_error: OSError | None = None
        self._due: dict[asyncio.TimerHandle, Callable[[], object]] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="quick-server", daemon=True)

    @property
    def url(self) -> str:
        """The root, without `/v1`."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> QuickServer:
        self._thread.start()
        self._started.wait()
        if self._bind_error is not None:
            raise self._bind_error
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await self._loop.create_server(lambda: _Connection(self), self.host, self.port, backlog=256)
        except OSError as refused:
            self._bind_error = refused
            self._started.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for transport in list(self.connections):
            transport.abort()

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call in so many seconds, or at once in `hurry`; for the thread of the server."""
        handle = self._loop.call_later(seconds, lambda: self._due.pop(handle)())
        self._due[handle] = call

    def hurry(self) -> None:
        """Have everything written now that is still to be written; for another thread."""

        def flush() -> None:
            for handle in [*self._due]:
                handle.cancel()
                self._due.pop(handle)()

        self._loop.call_soon_threadsafe(flush)

    def answer(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        """Status, content type and the body in pieces (a stream has one per event); None: never answered."""
        self.seen.append(seen)
        route = seen.path.partition("?")[0]
        if route not in _ROUTES:
            return 404, "application/json", [_dumps({"detail": "Not Found"})]
        if seen.method != _ROUTES[route]:
            return 405, "application/json", [_dumps({"detail": "Method Not Allowed"})]
        try:
            if route == CHAT:
                return self._chat(seen)
            if route == "/metrics":
                return 200, "text/plain; version=0.0.4; charset=utf-8", [self.metrics_page().encode()]
            if route == "/health":
                return 200, "text/plain", [b""]
            if route == "/version":
                return 200, "application/json", [_dumps({"version": self.behaviour.version})]
            return 200, "application/json", [_dumps(self._models() if route == "/v1/models" else self._tokenize(seen))]
        except Refused as refused:
            return refused.status, "application/json", [_dumps(refused.body)]
        except (AttributeError, KeyError, TypeError) as wrong:  # a field of an unexpected type
            body = Refused(400, "Bad Request", f"{type(wrong).__name__}: {wrong}").body
            return 400, "application/json", [_dumps(body)]

    def _chat(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        before, self.chats = self.chats, self.chats + 1
        if self.behaviour.on_chat is not None:
            self.behaviour.on_chat(before)
        behaviour = self.behaviour  # which `on_chat` may have changed
        if behaviour.chat_status == 0:
            return None
        if behaviour.chat_status != 200:
            raise Refused(behaviour.chat_status, "InternalServerError", "the engine is not ready")
        request = _request(seen)
        if not behaviour.takes_videos and _has_video(request["messages"]):
            raise Refused(400, "BadRequestError", "At most 0 video(s) may be provided in one prompt.")
        said = Said.of(request, behaviour, before)
        self.prompt_tokens += said.prompt_tokens
        self.generation_tokens += len(said.tokens) * said.n
        if not said.stream:
            return 200, "application/json", [_dumps(said.body())]
        events = [b"data: %b\n\n" % _dumps(chunk) for chunk in said.chunks()]
        return 200, "text/event-stream; charset=utf-8", [*events, b"data: [DONE]\n\n"]

    def _models(self) -> dict[str, Any]:
        name, length = self.behaviour.model, self.behaviour.max_model_len
        card = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": name}
        return {"object": "list", "data": [{**card, "parent": None, "max_model_len": length, "permission": []}]}

    def _tokenize(self, seen: Seen) -> dict[str, Any]:
        request = _request(seen, needs="messages" if b'"messages"' in seen.body else "prompt")
        count = _prompt_tokens(request["messages"]) if "messages" in request else len(_tokens(str(request["prompt"])))
        length = self.behaviour.max_model_len
        return {"count": count, "max_model_len": length, "tokens": list(range(count)), "token_strs": None}

    def metrics_page(self) -> str:
        values = {
            "num_requests_running": 0,
            "num_requests_waiting": 0,
            "prompt_tokens_total": self.prompt_tokens,
            "generation_tokens_total": self.generation_tokens,
        }
        label = f'{{engine="0",model_name="{self.behaviour.model}"}}'
        return "".join(f"vllm:{name}{label} {float(value)}\n" for name, value in values.items())


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, not yet in a body or a stream."""

    head: dict[str, Any]
    tokens: list[str]
    prompt_tokens: int
    finish_reason: str
    n: int
    top_logprobs: int | None
    stream: bool
    include_usage: bool

    @staticmethod
    def of(request: dict[str, Any], behaviour: Behaviour, number: int) -> Said:
        """The words of the question, limited by `max_tokens` and `stop`; Refused where vLLM refuses."""
        model, max_model_len = behaviour.model, behaviour.max_model_len
        if request.get("model", model) != model:
            raise Refused(404, "NotFoundError", f"The model `{request['model']}` does not exist.")
        prompt, limit, n = _prompt_tokens(request["messages"]), _limit(request), request.get("n") or 1
        n = min(n, behaviour.most_choices or n)
        if n > 1 and request.get("temperature") == 0:
            raise Refused(400, "BadRequestError", "n must be 1 when using greedy sampling.")
        if prompt + (limit or 0) > max_model_len:
            raise Refused(400, "BadRequestError", f"This model's maximum context length is {max_model_len} tokens.")
        text = behaviour.says or _question(request["messages"]) or "ok"
        for stop in [request["stop"]] if isinstance(request.get("stop"), str) else request.get("stop") or []:
            text = text.partition(stop)[0]
        tokens = _tokens(text)
        cut = limit is not None and len(tokens) > limit
        ident, now = f"chatcmpl-{number:032x}", int(time.time())
        return Said(
            {"id": ident, "object": "chat.completion", "created": now, "model": model},
            tokens[:limit] if cut else tokens,
            prompt,
            "length" if cut else "stop",
            n,
            (request.get("top_logprobs") or 0) if request.get("logprobs") else None,
            bool(request.get("stream")),
            bool((request.get("stream_options") or {}).get("include_usage")),
        )

    @property
    def usage(self) -> dict[str, Any]:
        prompt, made = self.prompt_tokens, len(self.tokens) * self.n
        return {"prompt_tokens": prompt, "total_tokens": prompt + made, "completion_tokens": made}

    def logprobs(self, tokens: list[str]) -> dict[str, Any] | None:
        if self.top_logprobs is None:
            return None
        entries = [{"token": t, "logprob": -0.25, "bytes": list(t.encode())} for t in tokens]
        return {"content": [{**entry, "top_logprobs": [entry] * self.top_logprobs} for entry in entries]}

    def body(self) -> dict[str, Any]:
        """The whole answer, with every null field of vLLM's body."""
        nulls = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        said: dict[str, Any] = {"role": "assistant", "content": "".join(self.tokens)}
        message = {**said, **nulls, "tool_calls": [], "reasoning": None}
        rest = {"logprobs": self.logprobs(self.tokens), "finish_reason": self.finish_reason, "stop_reason": None}
        choices = [{"index": i, "message": message, **rest, "token_ids": None} for i in range(self.n)]
        usage = {**self.usage, "prompt_tokens_details": None}
        middle = {"choices": choices, "service_tier": None, "system_fingerprint": None, "usage": usage}
        return {**self.head, **middle, "prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The answer as stream chunks: role, one token each, the end (with the last token when cut), usage."""
        head = {**self.head, "object": "chat.completion.chunk"}
        for i in range(self.n):
            first = {"index": i, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            yield {**head, "choices": [first], "prompt_token_ids": None}
        pieces = self.tokens if self.finish_reason == "length" else [*self.tokens, ""]
        for place, piece in enumerate(pieces, 1):
            last = place == len(pieces)
            end = {"finish_reason": self.finish_reason, "stop_reason": None} if last else {"finish_reason": None}
            logprobs = self.logprobs([piece]) if piece else None
            for i in range(self.n):
                choice = {"index": i, "delta": {"content": piece}, "logprobs": logprobs, **end, "token_ids": None}
                yield {**head, "choices": [choice]}
        if self.include_usage:
            yield {**head, "choices": [], "usage": self.usage}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time; bodies need a Content-Length."""

    def __init__(self, site: QuickServer) -> None:
        self.site, self.held = site, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.site.connections.add(self.transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.site.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return
        line, _, headers = bytes(self.held[:end]).decode("latin-1").partition("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in headers.split("\r\n"))}
        method, path, _ = line.split(" ", 2)
        if "transfer-encoding" in fields:
            self._write(411, "application/json", [_dumps({"detail": "a Content-Length is needed"})], close=True)
            return
        size = int(fields.get("content-length", 0))
        if len(self.held) < end + 4 + size:
            return
        body = bytes(self.held[end + 4 : end + 4 + size])
        del self.held[: end + 4 + size]
        answer = self.site.answer(Seen(method, path, body, fields))
        if answer is not None:
            self._write(*answer, close=fields.get("connection", "").lower() == "close")

    def _write(self, status: int, content_type: str, pieces: list[bytes], close: bool = False) -> None:
        stream = content_type.startswith("text/event-stream")
        size = "transfer-encoding: chunked" if stream else f"content-length: {sum(map(len, pieces))}"
        if close:
            size += "\r\nconnection: close"
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\ncontent-type: {content_type}\r\n{size}\r\n\r\n"
        framed = [b"%x\r\n%b\r\n" % (len(p), p) for p in pieces] + [b"0\r\n\r\n"] if stream else pieces
        delay = self.site.behaviour.token_delay_s
        if not delay:
            self._write_now([head.encode("latin-1"), *framed], close)
            return
        self.transport.write(head.encode("latin-1"))
        if stream:
            for place, piece in enumerate(framed):
                self.site.later(delay * place, partial(self._write_now, [piece], close and place == len(framed) - 1))
        else:
            self.site.later(delay, partial(self._write_now, framed, close))

    def _write_now(self, pieces: list[bytes], close: bool) -> None:
        for piece in pieces:
            self.transport.write(piece)
        if close:
            self.transport.close()


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _request(seen: Seen, needs: str = "messages") -> dict[str, Any]:
    try:
        request: Any = seen.json()
    except ValueError as broken:
        raise Refused(400, "Bad Request", f"JSON decode error: {broken}") from None
    if not isinstance(request, dict) or not request.get(needs):
        raise Refused(400, "Bad Request", f"field {needs!r} is required and must not be empty")
    if needs == "messages" and not all(isinstance(m, dict) and "role" in m for m in request["messages"]):
        raise Refused(400, "Bad Request", "each message needs a role")
    return request


def _limit(request: dict[str, Any]) -> int | None:
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    if limit is None or (isinstance(limit, int) and limit >= 1):
        return None if limit is None else int(limit)
    raise Refused(400, "BadRequestError", f"max_tokens must be at least 1, got {limit}.")


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _question(messages: list[dict[str, Any]]) -> str:
    return " ".join(part["text"] for part in _parts(messages[-1]) if part.get("type") == "text")


def _has_video(messages: list[dict[str, Any]]) -> bool:
    return any(part.get("type") == "video_url" for message in messages for part in _parts(message))


def _prompt_tokens(messages: list[dict[str, Any]]) -> int:
    parts = [part for message in messages for part in _parts(message)]
    words = sum(len(_tokens(part["text"])) for part in parts if part.get("type") == "text")
    return words + PICTURE_TOKENS * len([part for part in parts if part.get("type") == "image_url"])


def main() -> None:
    """Serve until ended, after printing the port on a line of its own."""
    parser = argparse.ArgumentParser(description="A chat endpoint that answers at once.")
    parser.add_argument("--port", type=int, default=0)
    with QuickServer(port=parser.parse_args().port) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
