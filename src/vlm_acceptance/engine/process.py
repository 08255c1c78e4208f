"""An engine's process tree under a guard and a supervisor: start, watch and stop it; end what killed runs left.

The suite starts the guard, the guard the supervisor, and that the engine: if one or two of them are killed or stopped,
the others end the engine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import psutil

from vlm_acceptance.core import masking
from vlm_acceptance.core.engine_figures import LATE_S, ExitReport
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem
from vlm_acceptance.core.masking import secrets_in
from vlm_acceptance.engine.command import with_absolute_paths
from vlm_acceptance.engine.supervisor import OWNER_FILE

GUARD, SUPERVISOR = (Path(__file__).with_name(name) for name in ("guard.py", "supervisor.py"))
RUN_TAG = "VLM_ACCEPTANCE_RUN"
AT_ONCE = signal.SIGUSR1
SWEEP_S = 10.0
ANSWER_S = 30.0
LOG_END_BYTES = 16 << 20
LINE_BYTES = 1 << 16
# a bar of progress ends with a carriage return
_LINE_END = re.compile(r"[\r\n]+")
_NUMBERS = itertools.count(1)


class SupervisedProcess:
    """One engine process tree; ends with `stop()` or with the suite, then `files` are removed. Not for two threads.

    Its children may outlive it by `children_s`. It runs in a folder of its own, which is removed too: engines of an
    NPU leave compiler files where they run.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        run_id: str,
        files: Sequence[Path] = (),
        children_s: float = LATE_S,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self.pid: int | None = None
        self.ending: ExitReport | None = None
        # each engine has its own tag: ending one by its tag spares the other engines of the run
        self.tag = f"{run_id}/{next(_NUMBERS)}"
        # without SPT_NOENV the title of vLLM's engine process overwrites its environment, the tag included
        self._env = with_absolute_paths({"SPT_NOENV": "1", **env, RUN_TAG: self.tag})
        self._children_s = children_s
        self._files = [str(path.resolve()) for path in files]
        # short, because vLLM puts unix sockets in it and their paths are limited to 107 characters
        self._scratch = str(Path(tempfile.gettempdir(), f"vlma-{os.urandom(4).hex()}"))
        self._secrets = secrets_in(self._env)
        # the log without masks, which is judged; it has no name and ends with this process and the supervisor
        self._raw = tempfile.TemporaryFile() if self._secrets else None  # noqa: SIM115
        self._exit_code: int | None = None
        self._exited = False
        self._guard: subprocess.Popen[bytes] | None = None
        self._supervisor: psutil.Process | None = None
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def start(self) -> None:
        """Start both; EnvironmentProblem: no such program; HarnessProblem: no log, or no answer of the supervisor."""
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as broken:
            raise HarnessProblem(f"the engine's log {self.log} cannot be written: {broken}") from broken
        self._start_guard()
        try:
            threading.Thread(target=self._listen, name="supervisor-events", daemon=True).start()
            self._send(json.dumps(self._job()))
            first = self._events.get(timeout=20)
            self._handle(first)
        except queue.Empty:
            self._end_without_supervisor("the supervisor did not answer")
            raise HarnessProblem("the supervisor did not start the engine within 20 s") from None
        except BaseException:  # also Ctrl-C: the caller cannot stop an engine that start() did not return
            self.stop(0.0)
            raise
        if self.pid is None:
            self.stop(0.0)
            if first["event"] != "failed":
                raise HarnessProblem("the engine's supervisor ended before it had started the engine")
            if first["engine"]:
                raise EnvironmentProblem(f"the engine {self.argv[0]} cannot be started: {first['why']}")
            raise HarnessProblem(f"the engine's supervisor failed: {first['why']}")

    def _start_guard(self) -> None:
        argv = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), self._scratch, *self._files]
        raw = [self._raw.fileno()] if self._raw else []
        try:
            self._guard = subprocess.Popen(
                argv, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={**os.environ, RUN_TAG: self.tag},
                start_new_session=True, pass_fds=raw,
            )  # fmt: skip
        except OSError as broken:
            raise HarnessProblem(f"the engine's supervisor cannot be started: {broken}") from broken

    def _job(self) -> dict[str, Any]:
        job: dict[str, Any] = {
            "argv": self.argv,
            "env": self._env,
            "tag": self.tag,
            "files": self._files,
            "scratch": self._scratch,
        }
        job |= {"log": str(self.log.resolve()), "children_s": self._children_s}
        if self._raw:
            job |= {"raw": self._raw.fileno(), "mask": {"module": masking.__file__, "secrets": self._secrets}}
        return job

    def _listen(self) -> None:
        assert self._guard is not None and self._guard.stdout is not None
        with self._guard.stdout as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put({"event": "supervisor gone"})

    def _send(self, line: str) -> None:
        assert self._guard is not None and self._guard.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the supervisor is gone, or stop() closed the pipe
            self._guard.stdin.write(line.encode() + b"\n")
            self._guard.stdin.flush()

    def _handle(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if event.get("code") is not None:
            self._exited, self._exit_code = True, event["code"]
        if kind == "started":
            self.pid = event["pid"]
            with contextlib.suppress(psutil.NoSuchProcess):
                self._supervisor = psutil.Process(event["supervisor"])
        elif kind == "failed":
            self.ending = ExitReport(None, True, 0.0)
        elif kind == "ended":
            killed, left, late = (tuple(event[name]) for name in ("killed", "left", "late"))
            self.ending = ExitReport(self._exit_code, event["on_request"], event["seconds"], killed, left, late)
        elif kind == "supervisor gone" and self.ending is None:
            self._end_without_supervisor("the supervisor itself was killed")

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._handle(self._events.get_nowait())

    @property
    def exit_code(self) -> int | None:
        """The engine's exit code once it has ended (negative: the signal), else None."""
        self._drain()
        return self._exit_code

    @property
    def has_exited(self) -> bool:
        """Whether the engine's first process has ended."""
        self._drain()
        return self._exited

    @property
    def how_it_ended(self) -> str:
        """`exit code N` or `signal N` of an engine that has exited, for messages."""
        code = self.exit_code
        return "its exit was not seen" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"

    def log_text(self) -> str:
        """The log so far, without masks, of a huge one the beginning and the end; '' without a log."""
        size = self._log_size()
        text = self._log_part(0, min(size, 2 * LOG_END_BYTES))
        if size > 2 * LOG_END_BYTES:
            text = text[:LOG_END_BYTES] + b"\n" + self._log_part(size - LOG_END_BYTES, LOG_END_BYTES)
        return text.decode("utf-8", "replace")

    def last_line(self) -> str:
        """The log's last whole line that is not blank; '' without one. The engine may be writing the line after it."""
        size = self._log_size()
        start = max(0, size - LINE_BYTES)
        lines = _LINE_END.split(self._log_part(start, size - start).decode("utf-8", "replace"))
        whole = lines[1 if start else 0 : None if self.has_exited else -1]
        return next((line.strip() for line in reversed(whole) if line.strip()), "")

    def _log_size(self) -> int:
        with contextlib.suppress(OSError):
            return os.fstat(self._raw.fileno()).st_size if self._raw else self.log.stat().st_size
        return 0

    def _log_part(self, start: int, size: int) -> bytes:
        with contextlib.suppress(OSError):
            if self._raw:  # the supervisor writes at the offset of this file: it must not be moved
                return os.pread(self._raw.fileno(), size, start)
            with self.log.open("rb") as file:
                file.seek(start)
                return file.read(size)
        return b""

    def tree(self) -> list[psutil.Process]:
        """Living processes of the engine, the first included; zombies count as gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._supervisor is not None:
                return list(filter(_lives, self._supervisor.children(recursive=True)))
        return []

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, waited for at most `timeout_s`; None when the engine still runs."""
        until = time.monotonic() + timeout_s
        while not self.has_exited and time.monotonic() < until:
            time.sleep(0.05)
        return self._exit_code

    def stop(self, grace_s: float) -> ExitReport:
        """SIGTERM, at most `grace_s` seconds to end, then SIGKILL to the whole tree. Safe to call twice."""
        if self._guard is None:
            return ExitReport(None, True, 0.0)
        self._drain()
        if self.ending is None:
            self._send(f"stop {grace_s}")
        until = time.monotonic() + grace_s + ANSWER_S
        while self.ending is None and time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                self._handle(self._events.get(timeout=0.2))
        if self.ending is None:
            self._end_without_supervisor("the supervisor did not answer")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(timeout=5)
        with contextlib.suppress(OSError):
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        assert self.ending is not None
        return self.ending

    def _end_without_supervisor(self, why: str) -> None:
        """Have the guard end the tree, then kill every process with this engine's tag."""
        assert self._guard is not None
        began = time.monotonic()
        self._guard.send_signal(AT_ONCE)
        self._guard.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(timeout=SWEEP_S)
        self._guard.kill()
        _, left = end_all(lambda: tagged_processes(self.tag))
        shutil.rmtree(self._scratch, ignore_errors=True)
        for file in self._files:
            Path(file).unlink(missing_ok=True)
        self._exited = True
        self.ending = ExitReport(self._exit_code, False, round(time.monotonic() - began, 2), (why,), tuple(left))


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _described(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:120]}"
    return f"{process.pid} ?"


def end_all(find: Callable[[], list[psutil.Process]]) -> tuple[list[str], list[str]]:
    """SIGKILL to what `find` returns until that is empty, at most SWEEP_S; descriptions of the killed and the rest."""
    until = time.monotonic() + SWEEP_S
    killed: dict[int, str] = {}
    while (found := find()) and time.monotonic() < until:
        for process in found:
            killed.setdefault(process.pid, _described(process))
            with contextlib.suppress(psutil.Error):  # psutil refuses a pid that was used again
                process.send_signal(signal.SIGKILL)
        time.sleep(0.05)
    return list(killed.values()), [_described(process) for process in found]


def tagged_processes(tag: str | None = None) -> list[psutil.Process]:
    """Living processes with the tag of a run (None: any) or of its engines, without this process and its ancestors."""
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    others = (process for process in psutil.process_iter() if process.pid not in spared)
    start = "" if tag is None else f"{tag}/"
    return [one for one in others if (found := _tag_of(one)) and f"{found}/".startswith(start) and _lives(one)]


def _tag_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
        return str(process.environ().get(RUN_TAG, ""))
    return ""


def _is_supervisor(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(word.endswith((f"engine/{GUARD.name}", f"engine/{SUPERVISOR.name}")) for word in process.cmdline())
    return False


def end_orphans() -> list[str]:
    """End the processes of dead runs and remove their temporary folders; descriptions of what was killed."""
    until = time.monotonic() + SWEEP_S

    def orphans() -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {}
        for process in tagged_processes():
            found.setdefault(_tag_of(process), []).append(process)
        return {tag: processes for tag, processes in found.items() if not owner_lives(tag)}

    def is_supervised(processes: list[psutil.Process]) -> bool:
        # a supervisor whose suite has just died ends its engine better: it also knows processes without the tag
        return time.monotonic() < until and any(map(_is_supervisor, processes))

    while any(map(is_supervised, orphans().values())):
        time.sleep(0.2)
    killed, _ = end_all(lambda: [p for engine in orphans().values() if not is_supervised(engine) for p in engine])
    for note in Path(tempfile.gettempdir()).glob(f"vlma-*/{OWNER_FILE}"):
        with contextlib.suppress(OSError):
            if note.lstat().st_uid == os.getuid() and not owner_lives(note.read_text("utf-8")):
                shutil.rmtree(note.parent, ignore_errors=True)
    return killed


def run_tag() -> str:
    """The tag of this process: pid, start time in clock ticks since boot, boot and pid namespace."""
    pid = os.getpid()
    return f"{pid}-{_start_ticks(pid)}-{_pid_namespace()}"


def owner_lives(tag: str) -> bool:
    """Whether the process that made a tag may still run; a zombie or a reused pid does not count."""
    words = tag.partition("/")[0].split("-")
    if len(words) != 3 or not words[0].isdigit() or words[2] != _pid_namespace():
        return True  # of another container or machine, or not a tag of this suite: cannot be decided here
    return _start_ticks(int(words[0])) == words[1]


def _start_ticks(pid: int) -> str:
    # ticks, not a date: the clock may be changed during a run
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _pid_namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8")[:8]  # machines may share a temporary folder
        return f"{Path('/proc/self/ns/pid').stat().st_ino}.{boot}"
    except OSError:
        return "0"
