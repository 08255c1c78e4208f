"""The process between the suite and an engine: when the suite dies, the whole engine tree ends within seconds.

`supervisor.py GUARD_PID`. Standard library only. Input: a line with a JSON job, then lines `stop SECONDS`; its end
means that the suite has died, as does the death of the guard, its parent. Output: events as JSON lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

OWNER_FILE = ".run"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHANED_GRACE_S = 3.0
# a copy of core.engine_figures.LATE_S: this file imports nothing of the suite
LATE_S = 5.0
KILL_PATIENCE_S = 10.0
# a longer log is cut to its beginning and end, so that an engine that floods it does not fill the disk
LOG_BYTES = 64 << 20
LOG_END_BYTES = 16 << 20
# how long the end of a log waits for more when it may be the beginning of a secret
HELD_S = 0.3
# what an engine writes within this time is masked together
TOGETHER_S = 0.01


def prctl(option: int, value: int) -> None:
    """Linux's prctl; does nothing elsewhere, where only direct children are supervised."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, tuple[int, str]]:
    """pid -> (parent pid, state letter) of every process, read from /proc."""
    table = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has just ended
            fields = Path(f"/proc/{name}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            table[int(name)] = (int(fields[1]), fields[0])
    return table


def descendants(root: int) -> list[int]:
    """Every living descendant of `root`; zombies count as gone."""
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
    words = "?"
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return f"{pid} {words[:120]}"


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone already."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def write(file: int, data: bytes) -> None:
    """Write all of it, if the disk takes it."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(file, data) :]


def loaded(path: str) -> Any:
    """A module of the standard library alone, from its file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def cut_log(path: str) -> None:
    """Remove the middle of a log that is too long, if possible; lines that are appended during the cut are lost."""
    with contextlib.suppress(OSError):
        size = Path(path).stat().st_size
        if size <= LOG_BYTES:
            return
        with open(path, "r+b") as file:
            file.seek(size - LOG_END_BYTES)
            end = file.read(LOG_END_BYTES).partition(b"\n")[2]
            file.truncate(LOG_END_BYTES)
        left_out = size - LOG_END_BYTES - len(end)
        with open(path, "ab") as file:
            file.write(b"\n[%d bytes of this log were left out here]\n" % left_out + end)


class Log:
    """The engine's log: its own file, or, when there are secrets, a pipe that is read, masked and then written.

    `raw` is a file of the suite that gets the same text unmasked, to be judged; it has no name.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.path = job["log"]
        self.writer = self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.reader: int | None = None
        self.raw: int | None = job.get("raw")
        self.last_s = 0.0
        if job.get("mask"):
            self.masking = loaded(job["mask"]["module"]).StreamMask(job["mask"]["secrets"])
            self.reader, self.writer = os.pipe()
            os.set_blocking(self.reader, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, 1 << 20)
        if self.raw is not None:
            os.set_inheritable(self.raw, False)

    def started(self) -> None:
        """The engine has the writing end now."""
        os.close(self.writer)

    def take(self, most: int = 1 << 20) -> None:
        """Write what the engine has written; a text that may be the beginning of a secret waits for its end."""
        data = b""
        while self.reader is not None and len(data) < most:
            try:
                piece = os.read(self.reader, 1 << 16)
            except BlockingIOError:
                break
            data += piece
            if not piece:
                os.close(self.reader)
                self.reader = None
        if data:
            self.last_s = time.monotonic()
            if self.raw is not None:
                write(self.raw, data)
            write(self.file, self.masking.feed(data))
        elif self.reader is not None and time.monotonic() > self.last_s + HELD_S:
            self.flush()

    def flush(self, *, final: bool = False) -> None:
        """Write what waited for more."""
        if self.writer != self.file:
            write(self.file, self.masking.flush(final=final))

    def finish(self) -> None:
        """Write everything that has come so far."""
        self.take(LOG_BYTES)
        self.flush(final=True)
        self.cut()

    def cut(self) -> None:
        """Shorten a log that is too long."""
        cut_log(self.path)
        if self.raw is not None and os.fstat(self.raw).st_size > LOG_BYTES:
            cut_log(f"/proc/self/fd/{self.raw}")
            os.lseek(self.raw, 0, os.SEEK_END)


class Supervisor:
    """One engine and everything it starts."""

    def __init__(self, job: dict[str, Any], guard: int) -> None:
        self.job = job
        self.guard = guard
        self.guard_gone = False
        self.root = 0
        self.code: int | None = None
        self.scratch = ""
        self.grace_s: float | None = None
        self.late: list[str] = []
        self.suite_gone = False
        self.pending = b""

    def start(self) -> bool:
        """Start the engine in a new session; False: not executable; OSError: no log, scratch folder or process."""
        self.log = Log(self.job)
        # created here, not by the suite, so that a killed suite cannot leave it behind
        scratch = Path(self.job["scratch"])
        scratch.mkdir(0o700)
        self.scratch = str(scratch)
        (scratch / OWNER_FILE).write_text(self.job["tag"], "utf-8")
        failed, failing = os.pipe()
        supervisor = os.getpid()
        self.root = os.fork()
        if self.root == 0:
            self.become_engine(supervisor, self.log.writer, failing)
        self.log.started()
        os.close(failing)
        with open(failed, "rb") as pipe:  # a successful exec closes it and writes nothing
            why = pipe.read().decode("utf-8", "replace")
        if why:
            self.report(event="failed", engine=True, why=why)
        else:
            self.report(event="started", pid=self.root, supervisor=supervisor)
        return not why

    def become_engine(self, supervisor: int, log: int, failing: int) -> None:
        """In the forked child: never returns."""
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before prctl took effect
                os._exit(125)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            work = Path(self.scratch, "work")
            work.mkdir()
            os.chdir(work)
            env = {**self.job["env"], "TMPDIR": self.scratch, "PWD": str(work)}
            os.execvpe(self.job["argv"][0], self.job["argv"], env)  # noqa: S606
        except (OSError, ValueError) as broken:
            os.write(failing, str(broken).encode("utf-8", "replace"))
        finally:
            os._exit(127)

    def report(self, **event: Any) -> None:
        """Send one event to the suite, which may have died."""
        with contextlib.suppress(OSError):
            os.write(1, (json.dumps(event) + "\n").encode())

    def listen(self, seconds: float) -> None:
        """Wait at most `seconds` for a line of the suite; note a `stop`, and whether suite and guard still live.

        Meanwhile the log is written. The guard reports the death of a suite whose pipe is held by a fork.
        """
        until, ready = time.monotonic() + seconds, []
        while 0 not in ready and (left := until - time.monotonic()) > 0:
            watched = [fd for fd in (None if self.suite_gone else 0, self.log.reader) if fd is not None]
            ready = select.select(watched, [], [], left)[0]
            if self.log.reader in ready and 0 not in ready:
                time.sleep(min(left, TOGETHER_S))
            self.log.take()
        if 0 in ready:
            self.read_line()
        if os.getppid() != self.guard:
            self.suite_gone = self.guard_gone = True

    def read_line(self) -> None:
        """Read what the suite has sent."""
        piece = os.read(0, 4096)
        self.suite_gone = not piece
        *lines, self.pending = (self.pending + piece).split(b"\n")
        for line in lines:
            word, _, grace = line.decode().partition(" ")
            if word == "stop":
                self.grace_s = float(grace)

    def reap(self) -> bool:
        """Collect ended children and the engine's exit code (negative: a signal); whether a child remains."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.root:
                self.code = os.waitstatus_to_exitcode(status)

    def left(self) -> list[int]:
        """Living descendants; empty only when the kernel confirms it."""
        living = descendants(os.getpid())
        if self.reap() and not living:
            # orphans become children of this process, so one was missed, or is a dead leader of living threads
            living = [pid for pid, (parent, _) in parents().items() if parent == os.getpid()]
        return living

    def wait_gone(self) -> list[int]:
        """Wait until the tree ends: the requested grace, less when the suite or the engine has ended; what is left."""
        now, gone = time.monotonic(), 0.0
        until = {"requested": now + (ORPHANED_GRACE_S if self.grace_s is None else self.grace_s)}
        while True:
            left, now = self.left(), time.monotonic()
            if self.suite_gone:
                until.setdefault("suite gone", now + ORPHANED_GRACE_S)
            if self.code is not None:  # its children get a little more time
                gone = gone or now
                until.setdefault("engine gone", now + self.job["children_s"])
                if not self.late and now > gone + LATE_S:
                    self.late = [described(pid) for pid in left]
            if not left or now >= min(until.values()):
                return left
            self.listen(0.05)
            self.log.cut()

    def end(self) -> None:
        """SIGTERM to the engine, then SIGKILL to what is left; reports what was killed and what survived."""
        began = time.monotonic()
        if self.code is None:
            send(self.root, signal.SIGTERM)
        left = self.wait_gone()
        ended_by_itself = self.code is not None
        survivors = [described(pid) for pid in left]
        if self.guard_gone:
            survivors.append("the guard of the supervisor was killed")
        patience = time.monotonic() + KILL_PATIENCE_S
        while left and time.monotonic() < patience:
            for pid in left:
                send(pid, signal.SIGKILL)
            self.listen(0.05)
            left = self.left()
        self.log.finish()
        ending = {"code": self.code, "on_request": ended_by_itself, "seconds": round(time.monotonic() - began, 2)}
        late = [one for one in self.late if one not in survivors]
        self.report(event="ended", **ending, killed=survivors, left=[described(pid) for pid in left], late=late)

    def run(self) -> None:
        """Wait until a stop is requested or the suite has died, then end the engine."""
        exit_reported = False
        while self.grace_s is None and not self.suite_gone:
            self.listen(0.2)
            self.reap()
            self.log.cut()
            if self.code is not None and not exit_reported:
                exit_reported = True
                self.log.finish()
                self.report(event="exited", code=self.code)
        self.end()

    def tidy(self) -> None:
        """Remove the scratch folder and the files of the job."""
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)
        for file in self.job["files"]:
            with contextlib.suppress(OSError):
                Path(file).unlink()


def read_job() -> dict[str, Any] | None:
    """The job; None when the suite died before the line was complete."""
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(0, 1)  # one by one: what follows this line is read later
        if not byte:
            return None
        first += byte
    return dict(json.loads(first))


def main() -> None:
    """Read the job, run the engine and end it."""
    job = read_job()
    if job is None:
        return
    supervisor = Supervisor(job, int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid())

    def die(_number: int, _frame: object) -> None:
        supervisor.suite_gone = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, die)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # a stopped supervisor goes on when its guard dies
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    try:
        if supervisor.start():
            supervisor.run()
    except OSError as broken:
        supervisor.report(event="failed", engine=False, why=str(broken))
    finally:
        supervisor.tidy()


if __name__ == "__main__":
    main()
