"""Edge inputs: their file, their requests, the server of their pictures, and the watched memory."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from PIL import Image
from tests.support.runs import eventually

from vlm_acceptance.cases.edge_inputs import EdgeInput, load_inputs
from vlm_acceptance.cases.picture_servers import serve_edge_pictures
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import HarnessProblem, UsageProblem
from vlm_acceptance.engine.memory import watched

SIGN = ROOT / "fixtures" / "images" / "ocr" / "sign-1.png"
ROW = {"id": "a", "must": "It MUST be refused.", "expect": "refused", "url": "x"}
INPUTS = {row.id: row for row in load_inputs(ROOT / "fixtures" / "edge_inputs.yaml")}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "edge_inputs.yaml"
    path.write_text(yaml.safe_dump(list(rows)), "utf-8")
    return path


def body_of(row: EdgeInput, served_at: str | None = "http://127.0.0.1:1") -> dict[str, Any]:
    body = row.request("m", "What?", SIGN, served_at, 5).body
    made: dict[str, Any] = json.loads(body) if isinstance(body, bytes) else body
    return made


def picture_of(name: str) -> tuple[str, bytes]:
    url = body_of(INPUTS[name])["messages"][0]["content"][0]["image_url"]["url"]
    head, _, data = url.partition(",")
    return head, base64.b64decode(data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expect": "ignored"}, "expect"),
        ({"url": None}, "set exactly one of"),
        ({"text": "too"}, "set exactly one of"),
        ({"must": "It should."}, "MUST"),
        ({"served": "elsewhere", "url": None}, "served"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageProblem, match=says):
        load_inputs(written(tmp_path, {**ROW, **change}))


def test_an_id_may_occur_only_once(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="the id of two rows"):
        load_inputs(written(tmp_path, ROW, ROW))


@pytest.mark.parametrize("name", ["png-truncated", "jpeg-truncated"])
def test_a_cut_picture_has_a_valid_header_but_cannot_be_read(name: str) -> None:
    _, data = picture_of(name)
    with Image.open(io.BytesIO(data)) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()


def test_a_wrong_mime_type_has_a_valid_picture() -> None:
    head, data = picture_of("wrong-mime")
    assert head == "data:image/jpeg;base64"
    assert data == SIGN.read_bytes()


def test_a_bomb_is_small_and_unpacks_to_its_square() -> None:
    _, data = picture_of("decompression-bomb")
    assert len(data) < 1_000_000
    assert int.from_bytes(data[16:20], "big") == int.from_bytes(data[20:24], "big") == 20000


def test_nested_json_has_its_depth() -> None:
    raw = INPUTS["deep-json"].request("m", "What?", SIGN, None, 5).body
    assert raw.count(b"[") >= 100000
    assert raw.count(b"[") == raw.count(b"]")


def test_texts_keep_their_special_characters() -> None:
    assert "\0" in body_of(INPUTS["nul-in-text"])["messages"][0]["content"]
    assert "\ud800" in body_of(INPUTS["surrogate-in-text"])["messages"][0]["content"]


@pytest.mark.parametrize("name", ["deep-json", "nul-in-text", "unknown-field", "png-truncated", "empty-url"])
def test_every_edge_input_carries_the_fields_of_all_requests(name: str) -> None:
    defaults = {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": 999}
    body = INPUTS[name].request("m", "What?", SIGN, None, 5, defaults).body
    text = body.decode() if isinstance(body, bytes) else json.dumps(body)
    assert '"chat_template_kwargs": {"enable_thinking": false}' in text
    assert '"max_tokens": 999' not in text


def test_only_a_launched_engine_gets_a_million_choices() -> None:
    assert INPUTS["n-of-a-million"].launched_only
    assert not INPUTS["n-of-a-thousand"].launched_only


def test_fields_are_added_and_choices_counted() -> None:
    assert body_of(INPUTS["n-of-a-thousand"])["n"] == 1000
    assert INPUTS["n-of-a-thousand"].choices == 1000
    assert INPUTS["n-negative"].choices == -1
    assert INPUTS["png-truncated"].choices == 1


def test_a_served_picture_needs_a_server_and_a_launched_engine() -> None:
    row = INPUTS["url-missing"]
    assert row.launched_only
    assert body_of(row)["messages"][0]["content"][0]["image_url"]["url"] == "http://127.0.0.1:1/missing"
    with pytest.raises(HarnessProblem, match="url-missing"):
        row.request("m", "What?", SIGN, None, 5)


def test_served_pictures_behave_as_they_are_named() -> None:
    with serve_edge_pictures(SIGN) as served, requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{served.url}/missing", timeout=5).status_code == 404
        assert session.get(f"{served.url}/redirected", timeout=5).content == SIGN.read_bytes()
        with pytest.raises(requests.TooManyRedirects):
            session.get(f"{served.url}/circle", timeout=5)
        with session.get(f"{served.url}/endless", timeout=5, stream=True) as endless:
            assert len(endless.raw.read(200_000)) == 200_000
        assert served.asked[:3] == ["/missing", "/redirected", "/picture"]


def test_memory_growth_is_measured() -> None:
    grows = "import sys; sys.stdin.readline(); b = b'x' * (200 << 20); print(len(b), flush=True); sys.stdin.readline()"
    with subprocess.Popen([sys.executable, "-c", grows], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        tree = [psutil.Process(child.pid)]
        with watched(lambda: tree) as still:
            pass
        with watched(lambda: tree) as peak:
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            assert eventually(lambda: peak.growth_mb >= 150)
        child.kill()
    assert still.growth_mb < 50
