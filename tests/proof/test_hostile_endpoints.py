"""Endpoints that attack the suite: each run ends in time with a rejection, in bounded memory and on a bounded disk."""

from __future__ import annotations

import pytest
from hostile_modes import MODES, PART
from standins.hostile_server import HostileServer
from standins.quick_server import Behaviour, QuickServer

SERVED = "vlm-acceptance/control"
DEADLINES = {
    "deadlines.health_s": 1,
    "deadlines.request_s": 1,
    "deadlines.cold_s": 1,
    "load.freed_s": 1,
    "load.hang_s": 2,
}
# a smoke run sends some 1,000 requests, and each of the first thirty without an end takes its deadline
LONGEST_S = 600
# measured: up to 429 MB, where every answer has 3.9 MB of text
MEMORY_MB, DISK_MB = 512, 200
# written when the process ends: the most memory that it had
WATCH = """
import atexit
import pathlib

def keep():
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path(__file__).with_suffix(".memory").write_text(status.partition("VmHWM:")[2].split()[0])

atexit.register(keep)
"""


def marked(mode: str) -> object:
    return pytest.param(mode, marks=[pytest.mark.part] if mode in PART else [])


@pytest.mark.fault("hostile-endpoint")
@pytest.mark.timeout(LONGEST_S + 60)
@pytest.mark.parametrize("mode", [marked(mode) for mode in MODES])
def test_hostile_endpoint_is_rejected_in_time(accept, tmp_path, prove, mode):
    watch = tmp_path / "plugin" / "watch.py"
    watch.parent.mkdir()
    watch.write_text(WATCH, "utf-8")
    with HostileServer(MODES[mode], QuickServer(Behaviour(model=SERVED))) as server:
        run = accept(
            *("--vlm-profile=control-cpu", f"--vlm-base-url={server.url}", "-p", "watch"),
            *(f"--vlm-set={key}={value}" for key, value in DEADLINES.items()),
            env={"PYTHONPATH": str(watch.parent)},
            timeout_s=LONGEST_S,
        )
    memory_mb = int(watch.with_suffix(".memory").read_text("utf-8")) >> 10
    disk_mb = sum(path.stat().st_size for path in run.reports.rglob("*") if path.is_file()) >> 20
    assert server.asked > 0, "the mode was never seen"
    assert run.code == 1, run.out
    assert run.summary is not None
    assert run.summary["verdict"] == "rejected"
    assert "Traceback" not in run.out
    assert memory_mb <= MEMORY_MB
    assert disk_mb <= DISK_MB
    assert server.elsewhere == []
    assert run.junit is not None
    prove(
        "hostile-endpoint",
        seen=f"{mode}: rejected, {memory_mb} MB of memory, {disk_mb} MB of files",
        seconds=run.seconds,
    )
