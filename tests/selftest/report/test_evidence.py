"""What is kept of a broken expectation is enough to repeat it, anywhere, with Python alone or with curl."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import clean_env
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.exchange import Request
from vlm_acceptance.report.evidence import Further, keep, slug
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
    assert line == f"python3 {shlex.quote(str(folder / 'repeat.py'))} {server.url}"


def commands_of(folder: Path, url: str) -> list[str]:
    """The commands of repeat.txt, by curl and by Python, each with another URL."""
    first, *commands = (folder / "repeat.txt").read_text("utf-8").splitlines()
    assert first.startswith("URL=http://127.0.0.1:")
    return [f"URL={url}; {command}" for command in commands]


@pytest.mark.parametrize("has_folder_moved", [False, True])
def test_both_commands_repeat_the_request_against_any_url(
    has_folder_moved: bool, store: RunStore, tmp_path: Path
) -> None:
    picture = png_url(ROOT / "fixtures" / "images" / "ocr" / "sign-1.png")
    body = chat_body("quick-standin", '图 it\'s "quoted" $HOME `x`', (picture,), stream=False)
    with QuickServer() as server, QuickServer() as other:
        exchange = Client(server.url).send(Request("POST", CHAT, body))
        folder, _ = keep(store, "t", exchange, server.url, None)
        if has_folder_moved:
            folder = Path(shutil.move(folder, tmp_path / "else where"))
        outputs = [repeated(command, folder) for command in commands_of(folder, other.url)]
        (first,), seen = server.seen, list(other.seen)
    assert len(seen) == 2
    assert [(one.method, one.path, one.json()) for one in seen] == [(first.method, first.path, first.json())] * 2
    by_curl, by_python = outputs
    assert by_curl.endswith("\nHTTP 200\n") and by_python.startswith("200 {")
    answers = [json.loads(by_curl.rpartition("\nHTTP")[0]), json.loads(by_python.partition(" ")[2])]
    assert [one["choices"] for one in answers] == [exchange.json()["choices"]] * 2


def test_both_commands_take_keys_from_their_variables(
    store: RunStore, tmp_path: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server = wire(lambda request: [response(b"{}")])
    exchange = Client(server.url, "sk-1").send(Request("POST", CHAT, {"a": 1}))
    folder, _ = keep(store, "t", exchange, server.url, "MY_KEY", Further({"X-Tenant": "TENANT"}))
    for command in commands_of(folder, server.url):
        repeated(command, folder, MY_KEY="sk-1", TENANT="a b")
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-1"] * 3
    assert [request.headers.get("x-tenant") for request in server.requests] == [None, "a b", "a b"]
    assert "sk-1" not in (folder / "repeat.txt").read_text("utf-8") + (folder / "repeat.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/v1/x?y=1&z=%5Ba%5D", None, {}),
        ("DELETE", "/v1/it's", None, {"X-Odd": "a 'b' $HOME"}),
        ("POST", "/v1/x", b'{"model": ', {"Content-Type": "application/json", "X-Empty": ""}),
        ("POST", "/v1/x", b"--b\r\n\x00\xff", {"Content-Type": "multipart/form-data; boundary=b"}),
    ],
)
def test_both_commands_repeat_unusual_requests(
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    store: RunStore,
    wire: Callable[[Answer], WireServer],
) -> None:
    server = wire(lambda request: [response(b'{"error": "no"}', "400 Bad Request")])
    exchange = Client(server.url).send(Request(method, path, body, headers))
    folder, _ = keep(store, "t", exchange, server.url, None)
    # a proxy of the environment stays out of the way of loopback
    outputs = [
        repeated(command, folder, http_proxy="http://127.0.0.1:9") for command in commands_of(folder, server.url)
    ]
    assert outputs == ['{"error": "no"}\nHTTP 400\n', '400 {"error": "no"}\n']
    first, *later = server.requests
    assert len(later) == 2
    for again in later:
        assert (again.method, again.path, again.body) == (first.method, first.path, first.body)
        assert {name: again.headers.get(name.lower()) for name in headers} == headers


def test_certificates_of_a_gateway_are_named_in_both_commands(store: RunStore) -> None:
    exchange = Client("http://127.0.0.1:1").send(Request("POST", CHAT, {}))
    folder, _ = keep(store, "t", exchange, "https://gateway.example", None, Further(ca_bundle="/etc/our ca.pem"))
    assert "--cacert '/etc/our ca.pem'" in (folder / "repeat.txt").read_text("utf-8")
    assert "cafile='/etc/our ca.pem'" in (folder / "repeat.py").read_text("utf-8")


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
