"""A child process tree under a keeper: start it, see it end, take it down, and say what it left."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from vlm_acceptance.errors import HarnessProblem

KEEPER = Path(__file__).with_name("keeper.py")
RUN_MARK = "VLM_ACCEPTANCE_RUN"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a tree ended: `killed` had to be killed, `left` would not go even then (described processes)."""

    code: int | None
    on_request: bool
    seconds: float
    killed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class KeptProcess:
    """One engine process tree. `start()` owns its cleanup: whatever happens later, `stop()` or our death ends it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path, run_id: str) -> None:
        self.argv = list(argv)
        self.log = log
        self.pid: int | None = None
        self.ending: Ending | None = None
        self._env = {**env, RUN_MARK: run_id}
        self._scratch = ""
        self._exit_code: int | None = None
        self._exited = False
        self._keeper: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[dict[str, object]] = queue.Queue()

    def start(self) -> None:
        """Start keeper and engine; HarnessProblem when the keeper does not answer."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # short: vLLM puts unix sockets in it, and their paths are limited to 107 characters
        self._scratch = tempfile.mkdtemp(prefix="vlma-")
        job = {"argv": self.argv, "cwd": os.getcwd(), "log": str(self.log.resolve()), "scratch": [self._scratch]}
        try:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**self._env, "TMPDIR": self._scratch},
                start_new_session=True,
            )
        except OSError as broken:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise HarnessProblem(f"the keeper cannot be started: {broken}") from broken
        threading.Thread(target=self._listen, name="keeper-events", daemon=True).start()
        self._tell(json.dumps(job))
        try:
            self._note(self._events.get(timeout=20))
        except queue.Empty:
            self._keeper.kill()
            raise HarnessProblem("the keeper did not start the engine within 20 s") from None

    def _listen(self) -> None:
        assert self._keeper is not None and self._keeper.stdout is not None
        for line in self._keeper.stdout:
            self._events.put(json.loads(line))
        self._events.put({"event": "keeper gone"})

    def _tell(self, line: str) -> None:
        assert self._keeper is not None and self._keeper.stdin is not None
        with contextlib.suppress(OSError):
            self._keeper.stdin.write(line.encode() + b"\n")
            self._keeper.stdin.flush()

    def _note(self, event: dict[str, object]) -> None:
        kind = event["event"]
        if kind == "started":
            self.pid = int(str(event["pid"]))
        elif kind == "exited":
            self._exited, self._exit_code = True, int(str(event["code"]))
        elif kind == "ended":
            code = event["code"]
            killed, left = event["killed"], event["left"]
            assert isinstance(killed, list) and isinstance(left, list)
            self.ending = Ending(
                None if code is None else int(str(code)),
                bool(event["on_request"]),
                float(str(event["seconds"])),
                tuple(map(str, killed)),
                tuple(map(str, left)),
            )
        elif kind == "keeper gone" and self.ending is None:
            self._exited = True
            self._sweep()
            self.ending = Ending(self._exit_code, False, 0.0, ("the keeper itself was killed",))

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._note(self._events.get_nowait())

    @property
    def exit_code(self) -> int | None:
        """The engine's exit code once it has ended (negative: the signal), else None."""
        self._drain()
        return self._exit_code

    @property
    def has_exited(self) -> bool:
        """Whether the engine's own process is gone."""
        self._drain()
        return self._exited

    def tree(self) -> list[psutil.Process]:
        """Living processes of the engine, itself included; zombies count as gone."""
        if self._keeper is None:
            return []
        try:
            found = psutil.Process(self._keeper.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in found if _lives(process)]

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the engine's own end; None when it still runs after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while not self.has_exited:
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)
        return self._exit_code

    def stop(self, grace_s: float) -> Ending:
        """SIGTERM, at most `grace_s` seconds of patience, then SIGKILL to the whole tree. Safe to call twice."""
        if self._keeper is None:
            return Ending(None, True, 0.0)
        self._drain()
        if self.ending is None:
            self._tell(f"stop {grace_s}")
        until = time.monotonic() + grace_s + 30
        while self.ending is None and time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                self._note(self._events.get(timeout=0.2))
        if self.ending is None:
            self._keeper.kill()
            self._sweep()
            self.ending = Ending(self._exit_code, False, grace_s + 30, ("the keeper did not answer",))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(timeout=5)
        return self.ending

    def _sweep(self) -> None:
        """Without a keeper: end what carries this run's mark."""
        for process in marked_processes(self._env[RUN_MARK]):
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def marked_processes(run_id: str | None = None) -> list[psutil.Process]:
    """Living processes started by this run (or by any run, without an id), found by the mark in their environment."""
    mine = os.getpid()
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(RUN_MARK)
        except (psutil.Error, OSError):
            continue
        if mark and process.pid != mine and (run_id is None or mark == run_id) and _lives(process):
            found.append(process)
    return found


def reap_strays() -> list[str]:
    """End what dead runs left behind: marked `<pid>-<start>` of a process that is gone. Returns their descriptions."""
    ended = []
    for process in marked_processes():
        with contextlib.suppress(psutil.Error, ValueError):
            owner, _, born = process.environ()[RUN_MARK].partition("-")
            if owner_lives(int(owner), born):
                continue
            ended.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
            process.send_signal(signal.SIGKILL)
    return ended


def owner_lives(pid: int, born: str) -> bool:
    """Whether the process that made a mark still runs; a pid that was used again does not count."""
    try:
        return f"{psutil.Process(pid).create_time():.0f}" == born
    except psutil.NoSuchProcess:
        return False


def run_mark() -> str:
    """This process's mark: its pid and start time."""
    return f"{os.getpid()}-{psutil.Process().create_time():.0f}"
