"""A process that has imported pytest and the suite, and forks for each run: in a quarter of the time."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("warm_server.py")
TIMEOUT_S = 120.0


class WarmPytest:
    """Starts pytest in processes of their own, one after the other; what they import of `root` is imported once."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        argv = [sys.executable, str(SERVER), str(root)]
        # its own session: Ctrl-C is for the selftests, whose end ends it
        self._process = subprocess.Popen(
            argv, env=dict(env), cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def run(self, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `pytest ARGS` in this folder and environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder, self._lock:
            out, err = Path(folder, "out"), Path(folder, "err")
            job = {"args": list(args), "cwd": str(cwd), "env": dict(env), "timeout_s": TIMEOUT_S}
            self._process.stdin.write(json.dumps({**job, "out": str(out), "err": str(err)}) + "\n")
            self._process.stdin.flush()
            code = json.loads(self._process.stdout.readline())
            assert code is not None, f"pytest {args} took more than {TIMEOUT_S:g} s"
            return code, out.read_text("utf-8"), err.read_text("utf-8")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # the selftests were interrupted during a run
            self._process.kill()


@cache
def warm_pytest(root: Path) -> WarmPytest:
    """The warm pytest of a folder whose `src` and conftest.py stay as they are; it ends with this process."""
    # variables of a run are given with the run
    made = WarmPytest(root, {"PATH": os.environ["PATH"]})
    atexit.register(made.close)
    return made
