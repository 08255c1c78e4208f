"""A run that is killed and resumed again and again: every answer is kept, and only what was in flight is sent again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.wire import completion, response

from vlm_acceptance.accuracy.answers_file import answers, read

CHILD = """
import sys
from pathlib import Path
from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.server_run import QuestionSender
from vlm_acceptance.accuracy.item import PreparedRequest
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import Pool
path, identity = Path(sys.argv[1]), {"benchmark": "d"}
file = AnswerFile.resume(path, path, identity) if path.exists() else AnswerFile.create(path, identity)
ids = [f"q{n}" for n in range(int(sys.argv[3])) if f"q{n}" not in file.kept]
sender = QuestionSender(Client(sys.argv[2]), "m", None, 30)
for pair in Pool(lambda id: sender.send(PreparedRequest(id, "", id, (), {})), ids, 8):
    if pair is not None:
        file.add(pair[1])
"""


class Answering(ThreadingHTTPServer):
    """Answers each question with a text of its own; keeps every question whose whole request it has read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.questions: list[str] = []

    def handle_error(self, *_: object) -> None:
        """Nothing: half a request is what a kill leaves."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Answering)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ident = body["messages"][0]["content"][0]["text"]
        self.server.questions.append(ident)
        time.sleep(0.003)
        self.wfile.write(response(json.dumps(completion(f"answer to {ident}", body["model"])).encode()))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def answering() -> Iterator[Answering]:
    with Answering() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_run_killed_at_twenty_random_moments_ends_with_the_same_answers_and_sends_no_answered_question_again(
    tmp_path: Path, answering: Answering
) -> None:
    path, total, kills, concurrency = tmp_path / "a.jsonl", 600, 20, 8
    argv = [sys.executable, "-c", CHILD, str(path), f"http://127.0.0.1:{answering.server_port}", str(total)]
    moments = random.Random(7)
    for _ in range(kills):
        since = len(answering.questions)
        kept = {answer.id for answer in answers(path)} if path.exists() else set()
        until = lines_of(path) + moments.randrange(1, 25)
        with subprocess.Popen(argv) as child:
            while child.poll() is None and lines_of(path) < until:
                time.sleep(moments.random() / 200)
            child.kill()
        assert not kept & set(answering.questions[since:])
    subprocess.run(argv, check=True)
    identity, found = read(path)
    assert identity == {"benchmark": "d"}
    assert {ident: answer.text for ident, answer in found.items()} == {f"q{n}": f"answer to q{n}" for n in range(total)}
    assert len(list(answers(path))) == total
    # only what was in flight at a kill is sent again
    assert len(answering.questions) - total <= concurrency * kills
