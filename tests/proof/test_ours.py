"""What the suite itself must survive: full disks, clocks that jump, hostile answers, a key that the engine repeats."""

from __future__ import annotations

import contextlib
import html.parser
import itertools
import json
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from deaths import environment
from hostile import HARM, Planted, harmful, repeating_keys
from proof_engines import fake_npu
from standins.quick_server import QuickServer
from tests.support.pages import own_script
from walk.container import WALK

from vlm_acceptance.client.http import KEPT_BYTES
from vlm_acceptance.config.paths import ROOT

CONTROL = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false")
HEALTH, RELEASE, SCHEMA, MMMU = (f"tests/acceptance/test_{area}.py" for area in ("health", "release", "schema", "mmmu"))
SIGNS = "tests/acceptance/test_capability.py::test_category[ocr-png]"
SERVED = "vlm-acceptance/control"
# tests that write texts into reports, and the accuracy run to its last question
WRITERS = ("--vlm-evidence=all", HEALTH, SCHEMA, SIGNS)
QUESTIONS = ("-m", "smoke or slow", "--vlm-set=mmmu.early_stop=false", MMMU)
KEY = "sk-'quoted\"<&>\\-0123456789"


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size; the test is skipped where mounting is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.decode('utf-8', 'replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def plugin(folder: Path, source: str) -> tuple[list[str], dict[str, str]]:
    """Options and environment that load `source` before the suite."""
    folder.mkdir()
    (folder / "planted.py").write_text(source, "utf-8")
    return ["-p", "planted"], {"PYTHONPATH": str(folder)}


# as if the disk had room when the run began, and something else had filled it since
HAD_ROOM = """
from vlm_acceptance.engine import machine

machine.REPORT_BYTES = 0
"""


@pytest.mark.parametrize(
    ("fault", "kilobytes"), [("reports-full", 400), ("reports-full-from-the-start", 4), ("log-on-full-disk", 4000)]
)
def test_full_disk_is_an_environment_error(accept, stand_in_engine, tmp_path, prove, fault, kilobytes):
    floods = fault.startswith("log")
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        reports = disk / "reports"
        only = (HEALTH, RELEASE) if floods else ()
        options, env = plugin(tmp_path / "plugin", HAD_ROOM)
        env["PYTHONPATH"] += f":{ROOT / 'src'}"
        args = (*CONTROL, *only, f"--vlm-engine={stand_in_engine}", f"--vlm-reports={reports}", *options)
        run = accept(*args, env={**env, "VLM_STANDIN": "floods-log" if floods else "ready"})
        torn = [path.name for path in reports.rglob("junit.xml") if not path.read_bytes().endswith(b">")]
        log = sum(path.stat().st_size for path in reports.glob("runs/*/server.log"))
        shutil.rmtree(reports, ignore_errors=True)
        # the disk is large enough for a normal log
        fits = accept(*args, env={**env, "VLM_STANDIN": "ready"}) if floods else None
    assert run.code == 10, run.out
    assert (log > kilobytes * 800) == floods
    assert fits is None or (fits.code == 1 and "No space left" not in fits.out), fits
    assert torn == []
    assert "Traceback" not in run.out
    assert "reports cannot be written: [Errno 28] No space left on device" in run.out
    prove(fault, seen="inconclusive, exit 10, in one sentence; no incomplete JUnit file", seconds=run.seconds)


LIMIT = """
import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""


@pytest.mark.fault("reports-limited")
def test_limit_of_file_sizes_is_an_environment_error(accept, stand_in_engine, tmp_path, prove):
    options, env = plugin(tmp_path / "plugin", LIMIT)
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", *options, env={**env, "VLM_STANDIN": "ready"})
    assert run.code == 10, run.out
    assert "reports cannot be written: [Errno 27] File too large" in run.out
    prove("reports-limited", seen="inconclusive, exit 10, in one sentence", seconds=run.seconds)


@pytest.mark.fault("reports-not-writable")
def test_reports_that_cannot_be_made_are_refused_in_one_sentence(accept, tmp_path, prove):
    (tmp_path / "file").write_text("", "utf-8")
    for place in (tmp_path / "file" / "reports", Path("/proc/reports")):
        run = accept(*CONTROL, f"--vlm-reports={place}")
        assert run.code == 4, run.out
        assert run.out.count("\n") < 5
        assert f"reports cannot be written to '{place}'" in run.out
    prove("reports-not-writable", seen="refused in one sentence, exit 4, before anything starts", seconds=run.seconds)


@pytest.mark.fault("log-flooded")
def test_engine_that_floods_its_log_is_judged_and_its_log_is_cut(accept, stand_in_engine, tmp_path, prove):
    run = accept(
        *(*CONTROL, f"--vlm-engine={stand_in_engine}", "--vlm-api-key-env=FLOOD_KEY", HEALTH, RELEASE),
        env={"VLM_STANDIN": "floods-log", "FLOOD_KEY": KEY},
    )
    log = run.reports / "latest" / "server.log"
    # the stand-in is refused only because it has no caches
    assert run.refused_by == {"test_health.py::test_metrics_count"}, run.out
    assert log.stat().st_size < 100_000_000
    assert b"bytes of this log were left out here" in log.read_bytes()
    prove("log-flooded", seen=f"judged; {log.stat().st_size >> 20} MB of log are kept", seconds=run.seconds)


# every half second 7 hours back, forward, or as it is; clocks for durations are unchanged
JUMPS = """
import datetime
import time

real_time, began, right = time.time, time.monotonic(), datetime.datetime


class Jumping(right):
    @classmethod
    def now(cls, tz=None):  # the real one reads the clock past the module `time`
        return right.fromtimestamp(time.time(), tz)


time.time = lambda: real_time() + (int((time.monotonic() - began) * 2) % 3 - 1) * 25200
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = Jumping
"""


def hours_back(run) -> float:
    """The largest step back between the time stamps of two exchanges, in hours."""
    lines = (run.reports / "latest" / "exchanges.jsonl").read_text("utf-8").splitlines()
    stamps = [datetime.fromisoformat(json.loads(line)["started_utc"]) for line in lines]
    return max((before - after).total_seconds() / 3600 for before, after in itertools.pairwise(stamps))


@pytest.mark.fault("clock-jumping")
def test_clock_that_jumps_changes_no_verdict(accept, control, stand_in_engine, tmp_path, prove):
    options, env = plugin(tmp_path / "plugin", JUMPS)
    run = accept("--vlm-profile=control-cpu", f"--vlm-base-url={control.base_url}", *options, env=env)
    assert run.code == 0, run.out
    back = hours_back(run)
    assert back > 6
    assert all(0 <= float(case.get("time")) <= run.seconds for case in run.junit.iter("testcase"))
    assert sum(test["seconds"] for test in run.summary["tests"]) <= run.seconds
    launched = accept(
        *(*CONTROL, f"--vlm-engine={stand_in_engine}", HEALTH, RELEASE, *options), env={**env, "VLM_STANDIN": "ready"}
    )
    assert launched.refused_by == {"test_health.py::test_metrics_count"}, launched.out
    assert all(0 <= test["seconds"] <= launched.seconds for test in launched.summary["tests"])
    seen = f"accepted, with stamps up to {back:.0f} h back; every duration is within the run's"
    prove("clock-jumping", seen=seen, seconds=run.seconds + launched.seconds)


@pytest.mark.fault("two-runs-one-card")
def test_second_run_on_one_card_is_refused_in_one_sentence(accept, stand_in_engine, tmp_path, prove):
    env = fake_npu(tmp_path, "idle")
    wanted = [f"--vlm-profile={WALK / 'internvl2-2b-walk.yaml'}", "--vlm-port=0", "--vlm-set=offline.enabled=false"]
    wanted += [f"--vlm-engine={stand_in_engine}", "--vlm-set=versions={}"]
    argv = [sys.executable, "-m", "pytest", "-m", "smoke", *wanted, HEALTH, f"--vlm-reports={tmp_path / 'first'}"]
    hangs = {**environment(), **env, "VLM_STANDIN": "hangs-loading"}
    with (tmp_path / "first.txt").open("wb") as out:
        first = subprocess.Popen(argv, cwd=ROOT, env=hangs, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while not list((tmp_path / "first").glob("runs/*/server.log")) and time.monotonic() < until:
            time.sleep(0.1)
        run = accept(*wanted, HEALTH, env={**env, "VLM_STANDIN": "ready"})
    finally:
        first.terminate()
        try:
            first.wait(60)
        except subprocess.TimeoutExpired:
            first.kill()  # its supervisor ends the engine
            first.wait()
    assert run.code == 10, run.out
    assert run.refused_by == set()
    assert f"another run of this suite (pid {first.pid}) uses card 0" in run.messages
    assert all(len(line) < 200 for line in run.messages.splitlines())
    prove("two-runs-one-card", seen="refused in one sentence, exit 10", seconds=run.seconds)


class Page(html.parser.HTMLParser):
    """Parts of a page that could execute something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.live += [tag] if tag in ("script", "iframe", "object", "embed", "base") else []
        self.live += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


def unreadable(reports: Path) -> list[str]:
    """Files of a run that are malformed or could execute something in their reader."""
    bad = []
    for path in reports.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        text = path.read_text("utf-8", "replace")
        try:
            if path.suffix == ".xml":
                ET.fromstring(text)
            if path.suffix in (".json", ".jsonl"):
                for line in [text] if path.suffix == ".json" else text.split("\n")[:-1]:
                    json.loads(line)
        except (ET.ParseError, ValueError) as broken:
            bad.append(f"{path.name}: {broken}")
        # the page's own script, which its policy names by hash, reads no answer
        if path.suffix == ".html" and (live := Page(text).live) not in ([], ["script"] if own_script(text) else []):
            bad.append(f"{path.name}: {live}")
        if path.suffix == ".txt" and set(text) & {"\x1b", "\x07", "\x00", "\u202e"}:
            bad.append(f"{path.name}: raw control characters")
    return bad


@pytest.mark.fault("hostile-answers")
def test_hostile_answers_leave_harmless_reports_in_every_format(accept, tmp_path, prove):
    with QuickServer() as server, Planted(server.url, harmful()) as proxy:
        server.behaviour = type(server.behaviour)(model=SERVED)
        run = accept("--vlm-profile=control-cpu", f"--vlm-base-url={proxy.url}", *WRITERS, *QUESTIONS)
    assert run.code == 1, run.out[-3000:]
    assert json.dumps(HARM[:30])[1:-1] in accuracy_files(run)["mmmu_val.jsonl"]
    exchanges = (run.reports / "latest" / "exchanges.jsonl").read_text("utf-8")
    assert f"cut: {KEPT_BYTES} of" in exchanges
    assert json.dumps(HARM[:40])[1:-1] in exchanges.replace("\\\\", "\\")
    assert {path.suffix for path in run.reports.rglob("*")} >= {".xml", ".json", ".jsonl", ".html", ".txt"}
    assert json.dumps(HARM[:30])[1:-1] in (run.reports / "latest" / "observations" / "gallery.json").read_text("utf-8")
    assert unreadable(run.reports) == []
    assert not set(run.out) & {"\x1b", "\x07", "\x00", "\u202e"}
    assert len(run.out) < 1_000_000
    seen = f"{len(exchanges) >> 20} MB of hostile answers: XML, JSON and HTML can be read and do nothing"
    prove("hostile-answers", seen=seen, seconds=run.seconds)


def test_what_would_do_harm_is_found(tmp_path):
    for name, text in {
        "a.xml": "<a>]]></b>",
        "b.json": "{",
        "c.html": "<p onclick='x'><script>1</script>",
        "d.txt": "\x1b[2J",
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert len(unreadable(tmp_path)) == 4


def accuracy_files(run) -> dict[str, str]:
    """The files of the accuracy run, by name."""
    found = {path.name: path.read_text("utf-8") for path in (run.reports / "latest").glob("*mmmu*")}
    assert {"mmmu_val.jsonl", "mmmu_val.txt", "cpu_accuracy_mmmu_val.json"} <= found.keys()
    return found


def leaks(run, key: str) -> list[str]:
    """Where a run has written a key, plain or escaped as in JSON, Python or XML."""
    spellings = {key, json.dumps(key)[1:-1], repr(key)[1:-1], key.replace("&", "&amp;").replace("<", "&lt;"), key[-10:]}
    files = {str(path): path.read_bytes() for path in run.reports.rglob("*") if path.is_file()}
    found = [name for name, data in files.items() if any(text.encode() in data for text in spellings)]
    return [*found, *(["the terminal"] if any(text in run.out for text in spellings) else [])]


@pytest.mark.fault("key-leaks")
def test_key_is_in_no_report(accept, stand_in_engine, prove):
    asked = ("--vlm-profile=control-cpu", "--vlm-api-key-env=PLANTED_KEY", *WRITERS)
    with QuickServer() as server, Planted(server.url, repeating_keys()) as proxy:
        server.behaviour = type(server.behaviour)(model=SERVED)
        attached = accept(*asked, *QUESTIONS, f"--vlm-base-url={proxy.url}", env={"PLANTED_KEY": KEY})
    assert attached.code == 1, attached.out
    assert "your key is [masked]" in (attached.reports / "latest" / "exchanges.jsonl").read_text("utf-8")
    assert "your key is [masked]" in accuracy_files(attached)["mmmu_val.jsonl"]
    assert leaks(attached, KEY) == []
    launched = accept(
        *(*asked, "--vlm-set=offline.enabled=false", f"--vlm-engine={stand_in_engine}"),
        env={"PLANTED_KEY": KEY, "VLM_STANDIN": "logs-key"},
    )
    assert "the key is [masked]" in (launched.reports / "latest" / "server.log").read_text("utf-8"), launched.out
    assert leaks(launched, KEY) == []
    dead = accept(
        *(*asked, "--vlm-set=offline.enabled=false", f"--vlm-engine={stand_in_engine}"),
        env={"PLANTED_KEY": KEY, "VLM_STANDIN": "dies-of-key"},
    )
    assert dead.code == 1, dead.out
    assert leaks(dead, KEY) == []
    seconds = attached.seconds + launched.seconds + dead.seconds
    seen = "repeated in bodies, headers, errors, streams, model ids, versions and logs: in no file, not on the terminal"
    prove("key-leaks", seen=seen, seconds=seconds)


@pytest.mark.fault("key-in-url")
def test_key_in_an_url_is_refused_without_repeating_it(accept, prove):
    run = accept("--vlm-profile=control-cpu", "--vlm-base-url=http://user:sk-0123456789@127.0.0.1:9")
    assert run.code == 4, run.out
    assert "carries credentials" in run.out
    assert "0123456789" not in run.out
    prove("key-in-url", seen="refused in one sentence, exit 4, without the key", seconds=run.seconds)
