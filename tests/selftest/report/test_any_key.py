"""Any key that a header can carry: every report can be read, and no text from outside holds it in any encoding."""

from __future__ import annotations

import base64
import html as html_module
import json
import os
import random
import re
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pages import sound

from vlm_acceptance.config.options import unsendable
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.finding import Finding, Outcome
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.report import evidence
from vlm_acceptance.report.html import render
from vlm_acceptance.report.masked import mask_junit, mask_lines
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run.outputs import write_page
from vlm_acceptance.run.summary import OWN_TEXTS

# 200 have been tried; VLM_SELFTEST_KEYS=200 tries them again
RANDOM_KEYS = int(os.environ.get("VLM_SELFTEST_KEYS", "40"))
WORDS = (
    "test", "1", "0", "true", "false", "null", "NaN", "id", "name", "type", '"', "'", "<", ">", "&", "[", "]", "{", "}",
    ":", ",", "\\", "/", "xml", "version", "encoding", "CDATA", "]]>", "<!--", "&amp;", "&quot;", "DOCTYPE",
    "testsuite", "testsuites", "testcase", "properties", "property", "failure", "message", "classname", "value",
    "system-out", "choices", "content", "delta", "data", "data:", "index", "bytes", "token", "finish_reason", "masked",
    "[masked]", "e", "***", "utf-8", "passed", "failed", "evidence", "html", "body", "div", "href", "%41", "\\u0041",
    "n", "\\n", "sk-", "-", "=", "+", "%", "#", ".", "(", "*", "^$", "\\d+",
)  # fmt: skip
TEST = "tests/acceptance/test_x.py::test_one[a]"


def drawn() -> Iterator[str]:
    """Keys of 1 to 64 characters, first of those that keys have, then of all that a header can carry."""
    chance = random.Random(12)
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    every = "".join(chr(code) for code in (*range(0x20, 0x7F), *range(0xA1, 0x100)) if code != 0xAD)
    for number in range(RANDOM_KEYS):
        letters = plain if number % 2 else every
        length = 1 + (number * 63 // max(1, RANDOM_KEYS - 1))
        yield "".join(chance.choice(letters) for _ in range(length)).strip() or "x"


KEYS = [*WORDS, *drawn()]


def encodings(key: str) -> dict[str, str]:
    """The key as an endpoint may give it back."""
    data, half = key.encode(), len(key) // 2
    made = {
        "plain": key,
        "upper": key.upper() if len(key.upper()) == len(key) else key,
        "swapped": key.swapcase() if len(key.swapcase()) == len(key) else key,
        "json": json.dumps(key)[1:-1],
        "json twice": json.dumps(json.dumps(key))[1:-1],
        "repr": repr(key)[1:-1],
        "xml": html_module.escape(key),
        "entities": "".join(f"&#{ord(char)};" for char in key),
        "url": urllib.parse.quote(key, safe=""),
        "url, lower": re.sub("%..", lambda match: match[0].lower(), urllib.parse.quote(key, safe="")),
        "url, all": "".join(f"%{byte:02X}" for byte in data),
        "url, half": urllib.parse.quote(key[:half], safe="") + "".join(f"%{byte:02x}" for byte in key[half:].encode()),
        "url twice": urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
        "hex": data.hex(),
        "HEX": data.hex().upper(),
        "two lines": f"{key[:half]}\n{key[half:]}",
    }
    for before in range(3):
        made[f"base64 {before}"] = base64.b64encode(b"u:p"[:before] + data).decode()
        made[f"base64 url {before}"] = base64.urlsafe_b64encode(b"u:p"[:before] + data).decode().rstrip("=")
    return made


def core(encoded: str, name: str, key: str) -> str:
    """What of an encoding depends on the key alone and is long enough to be it."""
    if not name.startswith("base64"):
        return encoded
    before = int(name[-1])
    return encoded[(before * 8 + 5) // 6 : (before + len(key.encode())) * 8 // 6]


def outside(key: str) -> str:
    """A text of an endpoint that holds the key in every encoding."""
    return " | ".join(f"({text})" for text in encodings(key).values())


def exchanges(key: str) -> list[Exchange]:
    """Answers that repeat the key: whole, in an error, in a header, split over events and over tokens."""
    text, half = outside(key), len(key) // 2
    request = Request("POST", "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hi?"}]})
    pieces = [key[:half], key[half:]]

    def made(ident: str, body: bytes, **more: Any) -> Exchange:
        return Exchange(ident, request, "2026-01-01T00:00:00Z", 10**9, 2 * 10**9, 200, body=body, **more)

    tokens = [{"token": piece, "bytes": [*piece.encode()], "logprob": -1.0} for piece in pieces]
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": {"content": tokens}}
    frames = [
        Frame(10**9 + n, json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]}), "message")
        for n, piece in enumerate(["say ", *pieces, "!"])
    ]
    return [
        made("r00001", json.dumps({"id": "x", "choices": [choice], "usage": {"prompt_tokens": 11}}).encode()),
        made("r00002", text.encode(), headers={"x-echo": text}),
        made("r00003", b"", frames=tuple(frames), headers={"content-type": "text/event-stream"}),
        made("r00004", b"", frames=tuple(Frame(10**9, piece) for piece in pieces)),
        made("r00005", b"", error=ErrorDetail("protocol", text)),
    ]


def write_run(store: RunStore, key: str) -> None:
    """Every report of a run whose endpoint repeats the key."""
    text = outside(key)
    mask = store.mask
    for exchange in exchanges(key):
        store.exchange(TEST, exchange)
    place, line = evidence.keep(store, TEST, exchanges(key)[1], "http://127.0.0.1:1", "MY_KEY")
    found = Finding(kinds.LOAD_ANSWER, "OK", trimmed(text), text, evidence=str(place), repeat=line)
    properties = {"answer": text, "evidence": str(place)}
    result = TestResult(TEST, "x", Outcome.FAILED, 0.5, mask(text), "It MUST.", properties, findings=(found,))
    store.result(result)
    store.observation("soak", {"seen": [text, 1, 1.5, None], "last": {"x": 1.0}})
    tests = [{"id": TEST, "area": "x", "outcome": "failed", "seconds": 0.5, "message": text, "properties": properties}]
    summary = {"verdict": "rejected", "exit_code": 1, "reason": text, "areas": {"x": {"failed": 1}}, "tests": tests}
    summary |= {"notes": [text], "versions": {"vllm": text}, "engine": {"command": ["vllm", text], "stages": []}}
    summary |= {"files": str(store.folder), "statement": "the control", "not_applicable": {}}
    store.write("summary.json", json.dumps(store.masked(summary, OWN_TEXTS), ensure_ascii=False))
    assert write_page(store) == []
    suite = ET.Element("testsuite", name="pytest")
    case = ET.SubElement(suite, "testcase", classname="tests.acceptance.test_x", name="test_one[a]")
    ET.SubElement(ET.SubElement(case, "properties"), "property", name="answer", value=text)
    ET.SubElement(case, "failure", message=text).text = text
    ET.SubElement(case, "system-out").text = text
    (store.folder / "junit.xml").write_bytes(ET.tostring(suite, "utf-8"))
    mask_junit(store.folder / "junit.xml", mask)
    rows = [json.dumps({"id": "a", "text": text}), json.dumps({"batch_s": 1.5}), ""]
    (store.folder / "offline-answers.jsonl").write_text("\n".join(rows), "utf-8")
    mask_lines(store.folder / "offline-answers.jsonl", mask)
    (store.folder / "server.log").write_bytes(b"\xff " + text.encode() + b"\n")
    store.mask_file(store.folder / "server.log")
    store.close()


# of rows, besides those of a summary: what the suite has written by itself
OURS = {*OWN_TEXTS, "repeat", "check", "title", "severity", "must", "request", "path", "test", "started_utc", "method"}


def texts_of(value: Any) -> Iterator[str]:
    """Texts of a JSON value but those of the suite; of a text that is JSON itself, its texts."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            inner = None
        if isinstance(inner, (dict, list)):
            yield from texts_of(inner)
        else:
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in OURS:
                yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def read_run(folder: Path) -> Iterator[tuple[str, str]]:
    """Where a text of a run is, and the text; each report is parsed."""
    for path in sorted(folder.rglob("*.json*")):
        whole = path.read_text("utf-8")
        for line in whole.split("\n") if path.suffix == ".jsonl" else [whole]:
            value = json.loads(line) if line else {}
            if path.name != "request.json":
                yield from ((path.name, text) for text in texts_of(value))
    root = ET.parse(folder / "junit.xml").getroot()
    for element in root.iter():
        yield "junit.xml", element.get("message") or element.get("value") or ""
        yield "junit.xml", element.text or ""
    yield "server.log", (folder / "server.log").read_bytes()[2:].decode()


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_every_report_can_be_read_and_holds_no_key(key: str, tmp_path: Path) -> None:
    assert unsendable(key) == ""
    store = RunStore(tmp_path, "p", key)
    write_run(store, key)
    wanted = {core(encoded, name, key) for name, encoded in encodings(key).items()}
    wanted = {text.lower() for text in wanted if len(text) >= min(3, len(key))}
    found = {(where, one, text) for where, text in read_run(store.folder) for one in wanted if one in text.lower()}
    # an encoding of two characters or less is a word of its own, and stands in other words too
    assert {(where, one, text[:500]) for where, one, text in found if len(one) > 2 or one == key.lower()} == set()
    page = (store.folder / "report.html").read_text("utf-8")
    read = sound(page)
    assert read.all("html", "body", "head")
    assert TEST.partition("::")[2] in page.replace("&#39;", "'") or "test_one" in page
    row = json.loads((store.folder / "results.jsonl").read_text("utf-8"))
    assert (row["id"], row["outcome"], row["findings"][0]["check"]) == (TEST, "failed", "load.answer")
    assert Path(row["findings"][0]["evidence"]).is_dir()
    assert render(store.folder)


def test_the_answer_of_a_stream_is_still_an_answer_when_the_key_was_split_over_events(tmp_path: Path) -> None:
    key = "sk-abcdefghij"
    store = RunStore(tmp_path, "p", key)
    store.exchange(TEST, exchanges(key)[2])
    store.close()
    row = json.loads((store.folder / "exchanges.jsonl").read_text("utf-8"))
    contents = [json.loads(data)["choices"][0]["delta"]["content"] for _, _, data in row["frames"]]
    assert contents == ["say ", "[masked]", "[masked]", "!"]


def test_a_token_that_is_masked_is_not_spelled_in_bytes(tmp_path: Path) -> None:
    key = "sk-abcdefghij"
    store = RunStore(tmp_path, "p", key)
    store.exchange(TEST, exchanges(key)[0])
    store.close()
    body = json.loads(json.loads((store.folder / "exchanges.jsonl").read_text("utf-8"))["body"])
    tokens = body["choices"][0]["logprobs"]["content"]
    assert [(one["token"], one["bytes"], one["logprob"]) for one in tokens] == [("[masked]", None, -1.0)] * 2
    assert body["usage"] == {"prompt_tokens": 11}


def test_masking_again_changes_nothing() -> None:
    for key in KEYS:
        mask = Mask(key)
        once = mask(f"{outside(key)} and more")
        assert mask(once) == once, key


def test_without_a_key_nothing_changes(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p", None)
    store.exchange(TEST, exchanges("sk-abcdefghij")[1])
    store.close()
    row = json.loads((store.folder / "exchanges.jsonl").read_text("utf-8"))
    assert row["body"] == outside("sk-abcdefghij")
