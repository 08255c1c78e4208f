"""A supervisor without the suite, over its pipes, and the processes that it must end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vlm_acceptance.engine.process import SUPERVISOR

PYTHON = sys.executable


@dataclass
class Kept:
    process: subprocess.Popen[bytes]
    log: Path
    tmp: Path

    def send(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def ended(self) -> dict[str, Any]:
        """The last event of an orderly end."""
        while event := self.event():
            if event["event"] == "ended":
                return event
        raise AssertionError("the supervisor ended without an event")

    def scratch(self) -> list[Path]:
        return list(self.tmp.glob("vlma-*"))


@contextmanager
def kept(tmp_path: Path, *argv: str, **job: object) -> Iterator[Kept]:
    made = supervisor(tmp_path)
    try:
        made.send(job_line(tmp_path, *argv, **job).rstrip())
        yield made
    finally:
        end(made)


def supervisor(tmp_path: Path) -> Kept:
    process = subprocess.Popen(
        [PYTHON, "-I", "-S", str(SUPERVISOR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    tmp = tmp_path / "tmp"
    tmp.mkdir(exist_ok=True)
    return Kept(process, tmp_path / "engine.log", tmp)


def job_line(tmp_path: Path, *argv: str, **changes: object) -> str:
    job = {
        "argv": list(argv),
        "env": dict(os.environ),
        "log": str(tmp_path / "engine.log"),
        "scratch": str(tmp_path / "tmp" / f"vlma-{os.urandom(4).hex()}"),
        "tag": "none",
        "files": [],
        "children_s": 5.0,
    }
    return json.dumps({**job, **changes}) + "\n"


def end(made: Kept) -> None:
    with suppress(OSError):
        made.process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        made.process.wait(15)
    made.process.kill()
    made.process.wait()
    made.process.stdout.close()


def alive(word: str) -> list[int]:
    """Living processes with this word in their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(word in part for part in process.cmdline()):
                found.append(process.pid)
    return found


def word_of(tmp_path: Path) -> str:
    """A word that no other test has in a command line."""
    return f"word-{os.getpid()}-{tmp_path.name}"
