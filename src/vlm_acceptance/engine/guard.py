"""Above the supervisor: ends an engine's whole tree when the suite or the supervisor is killed or stopped.

`guard.py SUITE_PID SCRATCH FILE...` starts the supervisor, which inherits standard input and output, and ends with it.
Standard library only. As the reaper of orphans it finds every process below it, also without the supervisor.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SUPERVISOR = Path(__file__).with_name("supervisor.py")
SPEC = importlib.util.spec_from_file_location("supervisor", SUPERVISOR)
assert SPEC is not None and SPEC.loader is not None
supervisor = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(supervisor)

LOOK_S = 0.1
# the supervisor's own time after the death of the suite: grace for the engine, then SIGKILL
PATIENCE_S = supervisor.ORPHANED_GRACE_S + 2.0
KILL_PATIENCE_S = 10.0
AT_ONCE = signal.SIGUSR1


class Guard:
    """Watches the suite and the supervisor; each of them may be killed or stopped at any moment."""

    def __init__(self, suite: int) -> None:
        self.suite = suite
        self.is_asked = False
        self.at_once = False

    def listen_to_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP count as the death of the suite; AT_ONCE leaves the supervisor no time."""

        def ask(number: int, _frame: object) -> None:
            self.is_asked = True
            self.at_once = self.at_once or number == AT_ONCE

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, AT_ONCE):
            signal.signal(number, ask)

    @property
    def suite_gone(self) -> bool:
        """Whether the suite has died, or its part was taken by a signal."""
        return self.is_asked or os.getppid() != self.suite

    def watch(self, keeper: subprocess.Popen[bytes]) -> None:
        """Return when the supervisor has ended, or has not ended in time after the death of the suite."""
        until = None
        while keeper.poll() is None and not self.at_once:
            if until is None and self.suite_gone:
                until = time.monotonic() + PATIENCE_S
                # the supervisor cannot see this death: a fork of the suite may still hold its pipe
                keeper.send_signal(signal.SIGTERM)
                keeper.send_signal(signal.SIGCONT)
            if until is not None and time.monotonic() > until:
                return
            time.sleep(LOOK_S)


def end_all() -> None:
    """SIGKILL to every process below this one until there is none, at most KILL_PATIENCE_S; stopped ones end too."""
    until = time.monotonic() + KILL_PATIENCE_S
    while (left := supervisor.descendants(os.getpid())) and time.monotonic() < until:
        for pid in left:
            supervisor.send(pid, signal.SIGKILL)
        time.sleep(0.05)


def main() -> None:
    """Start the supervisor, watch, end what is left and remove its files."""
    suite, scratch, *files = sys.argv[1:]
    guard = Guard(int(suite))
    guard.listen_to_signals()
    supervisor.prctl(supervisor.PR_SET_CHILD_SUBREAPER, 1)
    # a stopped guard goes on when the suite dies; harmless when only the thread that started it ends
    supervisor.prctl(supervisor.PR_SET_PDEATHSIG, signal.SIGCONT)
    if guard.suite_gone:
        return
    # what the suite passes on is for the supervisor: the guard must not keep a pipe of the suite open
    argv = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid())]
    keeper = subprocess.Popen(argv, close_fds=False, start_new_session=True)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    try:
        guard.watch(keeper)
    finally:
        end_all()
        shutil.rmtree(scratch, ignore_errors=True)
        for file in files:
            with contextlib.suppress(OSError):
                Path(file).unlink()


if __name__ == "__main__":
    main()
