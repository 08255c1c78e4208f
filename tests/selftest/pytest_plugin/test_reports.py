"""Reports survive an interrupted run, an endpoint that repeats the key, and hostile answers."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.runs import (
    FAILS,
    HEAD,
    PASSES,
    accept,
    clean_env,
    eventually,
    junit_of,
    pytest_argv,
    results_of,
    summary_of,
)
from tests.support.wire import Answer, WireRequest, WireServer, completion, endpoint, response

from vlm_acceptance.report import attestation
from vlm_acceptance.report.attestation_files import MADE_AGAIN


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


HANGS = HEAD + PASSES + PASSES.replace("test_passes", "test_waits").replace("one two", "wait")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("first", [True, False], ids=["in the first test", "in the second"])
def test_an_interrupted_run_keeps_its_results(
    number: signal.Signals,
    first: bool,
    checkout: Callable[..., Path],
    reports: Path,
    wire: Callable[[Answer], WireServer],
) -> None:
    def answer(request: WireRequest) -> bytes | None:
        if b"wait" in request.body or (first and b"one two" in request.body):
            waiting.append(request)
            eventually(lambda: False, 60)
        return None

    waiting: list[WireRequest] = []
    server = wire(endpoint(answer))
    argv = ["-m", "smoke", "--vlm-profile=quick", f"--vlm-base-url={server.url}", f"--vlm-reports={reports}"]
    with subprocess.Popen(
        pytest_argv(argv), cwd=checkout(test_health=HANGS), env=clean_env(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert eventually(lambda: bool(waiting))
        # a finished test is on disk while the next one runs
        assert [row["outcome"] for row in results_of(reports)] == ([] if first else ["passed"])
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 2, out
    assert "INCONCLUSIVE  " in out
    summary = summary_of(reports)
    assert (summary["verdict"], summary["exit_code"]) == ("inconclusive", 11)
    assert summary["reason"] == f"interrupted; {2 if first else 1} required tests did not finish"
    assert junit_of(reports).find("properties/property[@name='profile']") is not None


KEY = 'sk-"echo"\\&<0123456789>'


def content(path: Path) -> str:
    """The text of a file; of a workbook, of all its parts."""
    if path.suffix != ".xlsx":
        return path.read_text("utf-8")
    with zipfile.ZipFile(path) as parts:
        return html.unescape("".join(parts.read(name).decode() for name in parts.namelist()))


def test_a_key_that_the_endpoint_repeats_is_in_no_report(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    def answer(request: WireRequest) -> bytes | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if b"refuse" in request.body:
            return response(json.dumps({"error": {"message": f"bad key {key}"}}).encode(), "401 No")
        return response(json.dumps(completion(f"your key is {key}")).encode())

    echoes = '''
def test_repeats(client, findings, context):
    """It MUST keep secrets."""
    for text in ("refuse", "answer"):
        exchange = client.chat(text)
        reply = exchange.reply
        findings.note(**{text: reply.text if hasattr(reply, "text") else reply})
        findings.add([Finding(WRONG.kind, "none", str(reply), str(getattr(reply, "text", "")))], exchange)
    raise ValueError(context.settings.api_key)
'''
    server = wire(endpoint(answer))
    root = checkout(test_health=HEAD + echoes)
    ran = accept(root, reports, server.url, "--vlm-api-key-env=MY_KEY", "--vlm-evidence=all", env={"MY_KEY": KEY})
    assert ran.code == 1, ran.output
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    forms = [KEY, repr(KEY)[1:-1], json.dumps(KEY)[1:-1], "0123456789"]
    files = [path for path in reports.rglob("*") if path.is_file()]
    assert {"exchanges.jsonl", "junit.xml", "response.json", "repeat.txt"} <= {path.name for path in files}
    for path in files:
        text = content(path)
        assert [form for form in forms if form in text] == [], path
    assert "masked" in (reports / "junit.xml").read_text("utf-8")


BLOCKS = '''
def test_blocks(context):
    """It MUST not be overwritten."""
    (context.store.folder / "attestation.json").mkdir()
'''


def test_a_run_attests_all_its_files_the_junit_file_included(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + FAILS), reports, wire(endpoint(lambda _: None)).url)
    assert ran.code == 1, ran.output
    run = (reports / "latest").resolve()
    assert attestation.verify(run) == []
    about = attestation.read(run)["predicate"]["vlmAcceptance"]
    assert about["verdict"] == "rejected"
    attested = {row["name"] for row in about["evidence"]}
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert files - attested - MADE_AGAIN == {"attestation.json", "attestation.lines"}
    assert {"junit.xml", "results.jsonl", "exchanges.jsonl", "summary.json", "verdict.txt"} < attested
    (run / "junit.xml").write_text("<testsuites/>", "utf-8")
    (sentence,) = attestation.verify(run)
    assert sentence.startswith("junit.xml: this file was changed")


def test_a_run_whose_attestation_cannot_be_written_keeps_its_verdict(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + BLOCKS), reports, wire(endpoint(lambda _: None)).url)
    assert ran.code == 0, ran.output
    assert "note: attestation.json cannot be written" in ran.err


HOSTILE = "<script>alert(1)</script>]]>\x1b[2J\x1b]0;t\x07\x00\x0b\ufffe\ud800&amp;\u202e\r\n" + "🐈"


def test_hostile_answers_leave_readable_reports(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    def answer(request: WireRequest) -> bytes | None:
        if b"long" in request.body:
            return response(json.dumps(completion("x" * 30_000)).encode())
        return response(json.dumps(completion(HOSTILE)).encode()) if b"hostile" in request.body else None

    asks = '''
@pytest.mark.parametrize("text", ["hostile", "long"])
def test_asks(client, findings, text):
    """It MUST be harmless."""
    exchange = client.chat(text)
    reply = exchange.reply
    findings.note(answer=reply.text[:1000])
    findings.add([Finding(WRONG.kind, "nothing", reply.text[:1000], reply.text[:1000])], exchange)


def test_raises(client):
    """It MUST be harmless."""
    raise ValueError(client.chat("hostile").reply.text)


def test_is_an_error(client):
    """It MUST be harmless."""
    raise EnvironmentProblem(client.chat("hostile").reply.text)
'''
    ran = accept(checkout(test_health=HEAD + asks), reports, wire(endpoint(answer)).url)
    assert ran.code == 1, ran.output
    assert not set(ran.output) & {"\x1b", "\x00", "\x07", "\u202e"}
    assert len(list(junit_of(reports).iter("testcase"))) == 4
    rows = results_of(reports)
    assert [row["outcome"] for row in rows] == ["failed", "failed", "error", "error"]
    assert rows[0]["properties"]["answer"] == HOSTILE
    assert len(ran.output) < 100_000
    for path in reports.rglob("*.json*"):
        for line in path.read_text("utf-8").split("\n") if path.suffix == ".jsonl" else [path.read_text("utf-8")]:
            assert not line or json.loads(line)
    assert "\x1b" not in (reports / "latest" / "verification_log.txt").read_text("utf-8")
    assert "\x1b" not in (reports / "latest" / "verdict.txt").read_text("utf-8")
    ET.parse(reports / "latest" / "junit.xml")
