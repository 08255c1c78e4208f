"""`python warm_server.py ROOT` imports pytest and the suite in ROOT once, then forks for each run.

A line of JSON on standard input (args, cwd, env, out, err, timeout_s) is one run; its exit code is the answer.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

SUITE = "vlm_acceptance.pytest_plugin"


def import_all(root: Path) -> None:
    """Import what every run imports; not the plugin itself and not conftest.py, which pytest imports in its own way."""
    sys.path[:0] = [str(root / "src"), str(root)]
    from _pytest.config import default_plugins

    for name in default_plugins:
        importlib.import_module(f"_pytest.{name}")
    for file in (root / "conftest.py", root / "src" / Path(*SUITE.split(".")).with_suffix(".py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module != SUITE:
                importlib.import_module(node.module)
    del sys.path[:2]


def run_pytest(job: dict[str, Any]) -> None:
    """In the child: become `python -m pytest ARGS` in its folder, environment and streams."""
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, source in enumerate((null, *(os.open(job[name], os.O_WRONLY | os.O_CREAT) for name in ("out", "err")))):
        os.dup2(source, fd)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.path[0:0] = [job["cwd"], *filter(None, job["env"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["pytest", *job["args"]]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


def ended(pid: int, timeout_s: float) -> int | None:
    """The exit code of a child (negative: its signal); None when it was killed after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    del sys.path[0]  # the folder of this file
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    import_all(Path(sys.argv[1]))
    for line in jobs:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run_pytest(job)
        answers.write(f"{json.dumps(ended(pid, job['timeout_s']))}\n")
        answers.flush()


if __name__ == "__main__":
    main()
