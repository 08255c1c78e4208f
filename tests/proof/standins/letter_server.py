"""A chat endpoint that answers each question with a letter that depends on the question alone, after a delay.

    python letter_server.py --model NAME --hold-s 0.2 --log FILE

It prints its address, serves until its standard input is closed, and writes one line a question to --log: the SHA-256
of its text and of its pictures' bytes. It stands for a deployment whose answers repeat, to see what a run that is
killed again and again asks of it. It is never accepted.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def key_of(text: str, pictures: list[str]) -> str:
    """The key of a question in a request: its text and the SHA-256 of each picture."""
    return hashlib.sha256("\n".join([text, *pictures]).encode()).hexdigest()


def question_in(body: dict[str, Any]) -> str | None:
    """The key of a question of the accuracy run; None for any other request."""
    content = body["messages"][-1]["content"]
    if len(body["messages"]) < 2 or isinstance(content, str):
        return None
    text = "".join(part.get("text", "") for part in content)
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return key_of(text, [hashlib.sha256(base64.b64decode(url.partition(",")[2])).hexdigest() for url in urls])


class Server(ThreadingHTTPServer):
    """The state that all requests share."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, model: str, hold_s: float, log: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.model, self.hold_s, self.log = model, hold_s, log
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Do not log clients that were killed."""


class Answers(BaseHTTPRequestHandler):
    """The routes that the suite requests."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        listed = [{"id": self.server.model, "object": "model", "created": 1, "owned_by": "x", "max_model_len": 4096}]
        self.reply({"object": "list", "data": listed} if self.path == "/v1/models" else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            self.reply({"count": 10})
            return
        question = question_in(body)
        text = "OK"
        if question is not None:
            with self.server.lock, self.server.log.open("a", encoding="utf-8") as log:
                log.write(question + "\n")
            time.sleep(self.server.hold_s)
            text = "ABCD"[int(question[:8], 16) % 4]
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": self.server.model}
        self.reply({**whole, "choices": [choice], "usage": usage})

    def reply(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--hold-s", type=float, default=0.2)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    server = Server(given.model, given.hold_s, given.log)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
