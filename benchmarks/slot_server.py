"""A chat endpoint of known capacity: N slots, each token takes T milliseconds, and other requests wait for a slot.

`python slot_server.py --slots N --ms T` prints its port and serves until its standard input ends. Answers are streamed,
with as many tokens as were asked for; a prompt has as many tokens as words.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from typing import Any

MODEL = "slots"
CHAT = "/v1/chat/completions"


class Server:
    """`slots` answers at a time, one token each `token_s` seconds."""

    def __init__(self, slots: int, token_s: float) -> None:
        self.slots, self.token_s = asyncio.Semaphore(slots), token_s

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                await self.answer(writer, lines[0].split(" ")[1], json.loads(body) if body else {})
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]) -> None:
        """One response."""
        if path == CHAT:
            await self.chat(writer, body)
            return
        count = {"count": words(body), "max_model_len": 1 << 20, "tokens": []}
        models = {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 1 << 20}]}
        value = {"/tokenize": count, "/v1/models": models, "/version": {"version": "0.0.0"}}.get(path, {})
        content = b"" if path == "/metrics" else json.dumps(value).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content))
        writer.write(content)

    async def chat(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        """A streamed answer, once a slot is free."""
        tokens, prompt = int(body["max_tokens"]), words(body)
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        loop = asyncio.get_running_loop()
        async with self.slots:
            began = loop.time()
            for number in range(tokens):
                # not the sum of sleeps, each of which is a little too long
                await asyncio.sleep(began + (number + 1) * self.token_s - loop.time())
                finish = "length" if number == tokens - 1 else None
                choice = {"index": 0, "delta": {"content": "a "}, "finish_reason": finish}
                writer.write(event({"model": MODEL, "choices": [choice]}))
        writer.write(event({"model": MODEL, "choices": [], "usage": usage}) + chunk(b"data: [DONE]\n\n") + chunk(b""))


def words(body: dict[str, Any]) -> int:
    """Words of all texts of a conversation."""
    return sum(len(str(message["content"]).split()) for message in body.get("messages", []))


def event(value: dict[str, Any]) -> bytes:
    """A server-sent event as a chunk of HTTP."""
    common = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0}
    return chunk(b"data: " + json.dumps({**common, **value}).encode() + b"\n\n")


def chunk(content: bytes) -> bytes:
    """A chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(content), content)


async def serve(slots: int, token_s: float) -> None:
    """Serve on a free loopback port until standard input ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    listening = await asyncio.start_server(Server(slots, token_s).connected, "127.0.0.1", 0, backlog=256)
    print(listening.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


def main() -> None:
    """Serve until standard input ends, after printing the port."""
    parser = argparse.ArgumentParser(description="A chat endpoint of known capacity.")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--ms", type=float, default=10.0)
    given = parser.parse_args()
    asyncio.run(serve(given.slots, given.ms / 1000))


if __name__ == "__main__":
    main()
