"""Stands between the suite and an engine: when the suite dies in any way, the whole engine tree ends within seconds.

Run by path, standard library only. Line one on standard input is a JSON job; later lines are `stop SECONDS`; the end
of standard input means that the suite is gone. Events leave as JSON lines on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANED_GRACE_S = 3.0
LEFTOVER_GRACE_S = 5.0
KILL_PATIENCE_S = 10.0


def prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, and only direct children are kept."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, tuple[int, str]]:
    """pid -> (parent pid, state letter) of every process, read from /proc."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        table[int(name)] = (int(fields[1]), fields[0])
    return table


def descendants(root: int) -> list[int]:
    """Every living process below `root`; zombies count as gone."""
    table = parents()
    below: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        below.setdefault(parent, []).append(pid)
    found, todo = [], [root]
    while todo:
        for pid in below.get(todo.pop(), []):
            todo.append(pid)
            if table[pid][1] not in "ZX":
                found.append(pid)
    return found


def described(pid: int) -> str:
    """`pid command line`, cut to 120 characters."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            words = line.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        words = "?"
    return f"{pid} {words[:120]}"


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone already."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


class Keeper:
    """One engine and everything it starts."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.root = 0
        self.code: int | None = None
        self.asked_to_die = False

    def start(self) -> None:
        """Fork the engine into a session of its own, its output in the log file."""
        log = os.open(self.job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        keeper = os.getpid()
        self.root = os.fork()
        if self.root == 0:
            try:
                os.setsid()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != keeper:  # it died before prctl took hold
                    os._exit(125)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.chdir(self.job["cwd"])
                os.execvp(self.job["argv"][0], self.job["argv"])  # noqa: S606  (an argument list, no shell)
            except OSError as broken:
                os.write(2, f"cannot start {self.job['argv'][0]}: {broken}\n".encode())
            finally:
                os._exit(127)
        os.close(log)
        self.tell(event="started", pid=self.root)

    def tell(self, **event: Any) -> None:
        """One event to the suite, which may be gone."""
        with contextlib.suppress(OSError):
            os.write(1, (json.dumps(event) + "\n").encode())

    def reap(self) -> None:
        """Collect whatever has ended; note the engine's own exit code (negative: the signal that ended it)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.root:
                self.code = os.waitstatus_to_exitcode(status)

    def wait_gone(self, seconds: float) -> list[int]:
        """Wait until nothing is left below us, at most `seconds`; returns what still lives."""
        until = time.monotonic() + seconds
        while True:
            self.reap()
            left = descendants(os.getpid())
            if not left or time.monotonic() >= until:
                return left
            time.sleep(0.05)

    def end(self, grace_s: float) -> None:
        """SIGTERM to the engine, SIGKILL to all that is left; tells what was killed and what would not go."""
        began = time.monotonic()
        root_alive = self.code is None
        if root_alive:
            send(self.root, signal.SIGTERM)
        until = began + (grace_s if root_alive else LEFTOVER_GRACE_S)
        ended_by_itself = not root_alive
        while True:
            left = self.wait_gone(min(0.2, max(0.0, until - time.monotonic())))
            if self.code is not None and not ended_by_itself:
                ended_by_itself = True  # children get a little time of their own after the engine
                until = min(until, time.monotonic() + LEFTOVER_GRACE_S)
            if not left or time.monotonic() >= until:
                break
        stubborn = [described(pid) for pid in left]
        patience = time.monotonic() + KILL_PATIENCE_S
        while left and time.monotonic() < patience:
            for pid in left:
                send(pid, signal.SIGKILL)
            left = self.wait_gone(0.3)
        self.tell(
            event="ended",
            code=self.code,
            on_request=ended_by_itself,
            seconds=round(time.monotonic() - began, 2),
            killed=stubborn,
            left=[described(pid) for pid in left],
        )
        for folder in self.job.get("scratch", []):
            shutil.rmtree(folder, ignore_errors=True)

    def run(self) -> None:
        """Until the engine ends, a stop is asked for, or the suite is gone."""
        pending = b""
        exit_told = False
        while True:
            readable, _, _ = select.select([0], [], [], 0.2)
            self.reap()
            if self.code is not None and not exit_told:
                exit_told = True
                self.tell(event="exited", code=self.code)
            if self.asked_to_die:
                return self.end(ORPHANED_GRACE_S)
            if not readable:
                continue
            piece = os.read(0, 4096)
            if not piece:
                return self.end(ORPHANED_GRACE_S)
            pending += piece
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                word, _, seconds = line.decode().partition(" ")
                if word == "stop":
                    return self.end(float(seconds))


def main() -> None:
    """Read the job, keep the engine."""
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        first += byte
    keeper = Keeper(json.loads(first))

    def die(_number: int, _frame: object) -> None:
        keeper.asked_to_die = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, die)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    keeper.start()
    keeper.run()


if __name__ == "__main__":
    main()
