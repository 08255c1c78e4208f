"""What is kept of a broken expectation is enough to repeat it, anywhere, with nothing but Python."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import clean_env
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import Request
from vlm_acceptance.report.evidence import keep, slug
from vlm_acceptance.report.store import RunStore

CHAT = "/v1/chat/completions"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path / 'it\'s a "folder"', "p", "sk-1")
    yield made
    made.close()


def repeated(line: str, cwd: Path, **env: str) -> str:
    return subprocess.run(
        ["sh", "-c", line], cwd=cwd, env=clean_env(env), capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_the_line_sends_the_very_same_request(store: RunStore, tmp_path: Path) -> None:
    body = chat_body("quick-standin", '图 it\'s "quoted" $HOME `x`', (plain_url(8, 8),), stream=False)
    with QuickServer() as server:
        exchange = Client(server.url).send(Request("POST", CHAT, body))
        folder, line = keep(store, "tests/test_x.py::test_y[a]", exchange, server.url, None)
        output = repeated(line, tmp_path)
        first, second = server.seen
    assert (first.method, first.path, first.json()) == (second.method, second.path, second.json())
    status, _, answer = output.partition(" ")
    assert status == "200"
    assert json.loads(answer)["choices"] == exchange.json()["choices"]
    assert (folder / "repeat.txt").read_text("utf-8") == line + "\n"


def test_the_line_takes_the_key_from_its_variable(
    store: RunStore, tmp_path: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server = wire(lambda request: [response(b"{}")])
    exchange = Client(server.url, "sk-1").send(Request("POST", CHAT, {"a": 1}))
    _, line = keep(store, "t", exchange, server.url, "MY_KEY")
    repeated(line, tmp_path, MY_KEY="sk-1")
    assert "sk-1" not in line
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-1", "Bearer sk-1"]
    assert server.requests[0].body == server.requests[1].body


def test_the_line_of_a_request_with_a_wrong_key_keeps_that_key(
    store: RunStore, tmp_path: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server = wire(lambda request: [response(b"{}", status="401 Unauthorized")])
    exchange = Client(server.url, "sk-1").send(Request("POST", CHAT, {"a": 1}, {"Authorization": "Bearer wrong"}))
    _, line = keep(store, "t", exchange, server.url, "MY_KEY")
    repeated(line, tmp_path, MY_KEY="sk-1")
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer wrong", "Bearer wrong"]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b'{"model": '), ("POST", {})])
def test_a_refused_request_is_repeated_with_its_refusal(
    method: str, body: Any, store: RunStore, tmp_path: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server = wire(lambda request: [response(b'{"error": "no"}', "400 Bad Request")])
    exchange = Client(server.url).send(Request(method, "/v1/x?y=1", body, {"X-Odd": "a b"}))
    _, line = keep(store, "t", exchange, server.url, None)
    # a proxy of the environment stays out of the way of loopback here too
    assert repeated(line, tmp_path, http_proxy="http://127.0.0.1:9") == '400 {"error": "no"}\n'
    first, second = server.requests
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body)
    assert second.headers["x-odd"] == "a b"


def test_pictures_are_kept_as_files(store: RunStore) -> None:
    body = chat_body("m", "q", (plain_url(8, 8), "http://h/x.png", "data:image/jpeg;base64,%%%"))
    exchange = Client("http://127.0.0.1:1").send(Request("POST", CHAT, body))
    folder, _ = keep(store, "t", exchange, "http://127.0.0.1:1", None)
    assert [path.name for path in folder.glob("picture-*")] == ["picture-1.png"]
    assert (folder / "picture-1.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "response.json").read_text("utf-8"))["error"]["kind"] == "connect"


@pytest.mark.parametrize(
    ("test", "folder"),
    [
        ("tests/acceptance/test_x.py::test_y[a/b c]", "test_x.py-test_y_a_b_c"),
        ("tests/acceptance/test_x.py::test_y[../../z]", "test_x.py-test_y_.._.._z"),
        ("t", "t-"),
    ],
)
def test_a_test_id_is_one_folder_name(test: str, folder: str) -> None:
    assert slug(test) == folder
    assert len(slug(test * 50)) <= 120
