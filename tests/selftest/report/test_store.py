"""The files of a run: each row is written at once, the API key is in no file, every row is valid JSON."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from array import array
from pathlib import Path

import pytest

from vlm_acceptance.checks.hang import Hang, Reading
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import MIB, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.finding import Finding, Outcome
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.report.masked import mask_junit
from vlm_acceptance.report.sizes import SHORT_BYTES
from vlm_acceptance.report.store import MESSAGE_CHARACTERS, RunStore, as_json, stored
from vlm_acceptance.workloads.load import Disconnection
from vlm_acceptance.workloads.soak import Served, Soak

KEYS = ["sk-plain-0123456789", 'sk-"quoted"', "sk-back\\slash", "sk-<&>'\"", "sk-图片", "sk-tab\tin"]
PICTURE = "data:image/png;base64," + "A" * 300


def exchange(body: bytes, **more: object) -> Exchange:
    request = Request("POST", "/v1/x", {"model": "m"})
    return Exchange("r00001", request, "2026-01-01T00:00:00Z", 10**9, 2 * 10**9, 200, body=body, **more)  # type: ignore[arg-type]


def result(message: str = "", **properties: str) -> TestResult:
    return TestResult("tests/acceptance/test_x.py::t", "x", Outcome.FAILED, 0.5, message, "It MUST.", properties)


def files(store: RunStore) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in store.folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("key", KEYS)
def test_the_key_is_in_no_file_however_it_is_escaped(key: str, tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p", key)
    body = json.dumps({"error": {"message": f"wrong key {key}!"}}).encode()
    seen = exchange(body, headers={"x-echo": key}, frames=(), error=ErrorDetail("protocol", f"got {key}"))
    store.exchange("t", seen)
    store.exchange("t", exchange(json.dumps({"said": key}, ensure_ascii=False).encode()))
    store.exchange("t", exchange(b"", frames=(Frame(10**9, json.dumps({"key": key})),)))
    store.result(result(f"HTTP 401: {trimmed(body.decode())} {key!r} {key}", answer=key))
    summary = store.masked({"a": key, "b": trimmed({"key": key})})
    store.write("summary.json", json.dumps(summary, ensure_ascii=False))
    tree = ET.Element("case", message=f"{key} {trimmed(key)}")
    tree.text = f"{key} {json.dumps(key)}"
    (store.folder / "junit.xml").write_bytes(ET.tostring(tree, "utf-8"))
    mask_junit(store.folder / "junit.xml", store.mask)
    (store.folder / "server.log").write_bytes(b"\xff " + key.encode() + b"\r\n")
    store.mask_file(store.folder / "server.log")
    store.close()
    for name in ("results.jsonl", "exchanges.jsonl", "summary.json"):
        for line in (store.folder / name).read_text("utf-8").splitlines():
            assert_nowhere(key, json.loads(line), name)
    xml = ET.parse(store.folder / "junit.xml").getroot()
    assert_nowhere(key, [xml.get("message"), xml.text], "junit.xml")
    assert (store.folder / "server.log").read_bytes() == b"\xff " + store.mask.sign.encode() + b"\r\n"
    assert key not in (store.folder / "verification_log.txt").read_text("utf-8")


def assert_nowhere(key: str, value: object, where: str) -> None:
    """The key is in no string of a JSON value, nor in what such a string holds as JSON."""
    if isinstance(value, str):
        assert key not in value, where
        assert json.dumps(key)[1:-1] not in value, where
        assert repr(key)[1:-1] not in value, where
    elif isinstance(value, dict):
        assert_nowhere(key, [*value, *value.values()], where)
    elif isinstance(value, list):
        for inner in value:
            assert_nowhere(key, inner, where)


def test_without_a_key_nothing_is_masked() -> None:
    assert Mask(None)("sk-1") == Mask("")("sk-1") == "sk-1"


def test_a_row_is_on_disk_before_the_next_one_comes(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p")
    for number in range(1, 4):
        store.result(result(str(number)))
        store.exchange("t", exchange(b"{}"))
        found = files(store)
        assert len(found["results.jsonl"].splitlines()) == number
        assert len(found["exchanges.jsonl"].splitlines()) == number
        assert found["verification_log.txt"].count("== FAILED") == number
    store.close()


def test_any_answer_leaves_one_readable_line_each(tmp_path: Path) -> None:
    chance = random.Random(7)
    odd = [0, 7, 0x0B, 0x1B, 0x85, 0x2028, 0xDFFF, 0xFFFE, 0x1F600, *b'"\\<&>\n\r']
    texts = ["".join(chr(chance.choice(odd)) for _ in range(30)) for _ in range(200)]
    store = RunStore(tmp_path, "p")
    for text in texts:
        store.result(result(text, answer=text))
        store.exchange("t", exchange(json.dumps({"said": text}).encode()))
    store.close()
    rows = [json.loads(line) for line in files(store)["results.jsonl"].split("\n")[:-1]]
    assert [row["properties"]["answer"] for row in rows] == texts
    assert len(files(store)["exchanges.jsonl"].split("\n")) == len(texts) + 1
    assert not set(files(store)["verification_log.txt"]) & {chr(0), chr(0x1B), chr(0x0B), chr(0x85), chr(0x2028)}


def test_a_large_answer_is_stored_whole_and_cut_in_the_transcript(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p")
    store.exchange("t", exchange(b"x" * 1_000_000))
    store.close()
    assert len(json.loads(files(store)["exchanges.jsonl"])["body"]) == 1_000_000
    assert len(files(store)["verification_log.txt"]) < 3000


def test_text_that_is_not_valid_unicode_is_written(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p")
    store.note("\udc80")
    assert store.write("x/summary.json", json.dumps("a\ud800", ensure_ascii=False)).read_text("utf-8") == '"a?"'
    store.close()


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    stores = [RunStore(tmp_path, "p") for _ in range(4)]
    assert len({store.folder for store in stores}) == 4
    for store in stores:
        store.close()


def test_pictures_are_stored_as_their_hash() -> None:
    body = {"messages": [{"content": [{"image_url": {"url": PICTURE}}, {"text": "data: short"}]}]}
    shown = json.dumps(as_json(body))
    assert "AAAA" not in shown
    assert "image/png, sha256 " in shown
    assert "data: short" in shown
    assert as_json(body) == as_json(body) != as_json({**body, "messages": []})
    assert "3 bytes" in as_json(b"abc")


def test_an_observation_is_json_and_holds_what_a_check_reads(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p", "sk-secret")
    soak = Soak(itl=array("d", [0.5, float("nan")]), seconds=float("inf"), hang=Hang(3.0, 2, {"x": 1.0}, 0.0))
    fault = Finding(kinds.LOAD_ANSWER, "OK", "no, sk-secret", exchange=exchange(b"{}"))
    soak.served = [Served(0.25, Sample(None, 0.1, 2.0, 7), fault), Served(1.0, None, None, counted=False)]
    soak.readings = [Reading(0.5, None, 1, 2, 3.5)]
    store.observation("soak", soak)
    store.observation("tries", [Disconnection(0.0, (1.0, None), (exchange(b"{}"),), ((0.1, 2.0),))])
    store.close()
    seen = json.loads(files(store)["soak.json"])
    assert (seen["itl"], seen["seconds"], seen["given_up"]) == ([0.5, None], None, "")
    assert seen["hang"] == {"flat_s": 3.0, "in_flight": 2, "last": {"x": 1.0}, "silent_s": 0.0}
    assert seen["served"][0]["sample"] == {"ttft_s": None, "tpot_s": 0.1, "e2e_s": 2.0, "tokens": 7, "waited": {}}
    assert seen["served"][0]["fault"]["check"] == "load.answer"
    assert (seen["served"][0]["fault"]["observed"], seen["served"][0]["fault"]["exchange"]) == (
        "no, [masked]",
        "r00001",
    )
    assert seen["readings"][0]["rss_mb"] == 3.5
    (tried,) = json.loads(files(store)["tries.json"])
    assert tried == {"before": 0.0, "during": [1.0, None], "exchanges": ["r00001"], "after": [[0.1, 2.0]]}


def test_times_are_stored_in_seconds_from_the_start() -> None:
    row = stored(exchange(b"data: x\n\n", frames=(Frame(1_250_000_000, "x"),)))
    assert (row["elapsed_s"], row["frames"], row["body"]) == (1.0, [[0.25, "", "x"]], None)


def test_a_long_body_is_stored_in_part_and_the_row_says_so(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p")
    store.exchange("t", exchange(b"x" * (3 * MIB)))
    store.exchange("t", exchange(b"", frames=tuple(Frame(0, "y" * 1000) for _ in range(3000))))
    store.exchange("t", exchange(b"short"))
    store.close()
    body, stream, short = map(json.loads, (store.folder / "exchanges.jsonl").read_text("utf-8").splitlines())
    assert (len(body["body"]), body["cut"]) == (MIB, f"cut: {MIB} of {3 * MIB} bytes")
    assert (len(stream["frames"]), stream["cut"]) == (1048, "cut: 1048 of 3000 events")
    assert (short["body"], "cut" in short) == ("short", False)
    assert store.budget.note == "in the files of this run, 2 bodies were cut"


def test_a_run_stores_no_more_than_it_may_and_says_what_is_missing(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p", run_bytes=8 * MIB)
    for _ in range(2000):
        store.exchange("t", exchange(b"x" * MIB))
    store.result(result("m" * 10_000_000))
    store.close()
    assert sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file()) < 11 * MIB
    assert store.budget.left_out > 0
    note = f"of at most 8 MiB (sizes.run_mib), {store.budget.cut} bodies were cut and {store.budget.left_out} requests"
    assert note in store.budget.note
    for name in ("exchanges.jsonl", "results.jsonl"):
        for line in (store.folder / name).read_text("utf-8").splitlines():
            json.loads(line)


def test_what_is_cut_was_masked_before(tmp_path: Path) -> None:
    key = "k7Q!zx"  # so short that a part of it would not be masked
    store = RunStore(tmp_path, "p", key, run_bytes=8 * MIB)
    for at in range(1, len(key)):
        store.budget.used = 8 * MIB  # bodies are short from here on
        store.exchange("t", exchange(b"x" * (SHORT_BYTES - at) + key.encode() + b"y" * 5000))
    store.result(result("m" * (MESSAGE_CHARACTERS - 4) + key + "m" * 5000))
    store.close()
    assert store.budget.cut == len(key) - 1
    for name, text in files(store).items():
        assert "k7Q" not in text, name
