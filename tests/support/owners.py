"""Processes that stand for a suite with an engine, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vlm_acceptance.engine import process as processes
from vlm_acceptance.engine.process import tagged_processes

SRC = Path(processes.__file__).resolve().parents[2]
# stands for a suite in the tests that kill it
OWNER = """
import os, sys, tempfile, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from vlm_acceptance.engine import process
from vlm_acceptance.engine.process import SupervisedProcess, run_tag
process.RUN_TAG = os.environ["VARIABLE_OF_RUN_TAGS"]
how, log, *argv = sys.argv[2:]
tempfile.gettempdir()  # as pytest has before any engine: the first call makes a file of its own for a moment
print(run_tag(), flush=True)
while True:
    kept = SupervisedProcess(argv, os.environ, Path(log), run_tag())
    kept.start()
    if how == "holds":
        print("started", flush=True)
        time.sleep(300)
    if how == "stops":
        while "ready" not in kept.log_text():
            pass
        threading.Timer(0.3, lambda: print("stopping", flush=True)).start()
        kept.stop(300)
    kept.stop(5)
"""


def started_owner(tmp_path: Path, temporary: Path, how: str, *argv: str) -> tuple[subprocess.Popen[str], str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(SRC), how, str(tmp_path / "engine.log"), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "VARIABLE_OF_RUN_TAGS": processes.RUN_TAG},
    )
    return owner, owner.stdout.readline().strip()


def nothing_left(tag: str, temporary: Path) -> bool:
    return tagged_processes(tag) == [] and list(temporary.iterdir()) == []
