"""Fetches a model with the real ModelScope client, in a child process of the interpreter that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from vlm_acceptance.core.errors import EnvironmentProblem, WeightsProblem
from vlm_acceptance.engine.machine import with_loopback_no_proxy

# Run with -c: as a file it would put its folder, and with it our module names, in front of the client's own imports.
# The client writes to both of its streams, so the answer travels in a file.
_CHILD = """
import inspect, json, sys, time
model_id, revision, cache_dir, answer = sys.argv[1:]
from modelscope import snapshot_download
options = {"revision": revision} if revision else {}
if cache_dir:
    options["cache_dir"] = cache_dir
try:
    from modelscope.hub.callback import ProgressCallback
except ImportError:
    pass
else:
    class Progress(ProgressCallback):
        def __init__(self, filename, file_size):
            self.name, self.size, self.got, self.said = filename, file_size, 0, time.monotonic()
        def update(self, size):
            self.got += size
            if time.monotonic() - self.said > 5:
                self.said = time.monotonic()
                self.say(f"{self.got / 1e6:.0f} of {self.size / 1e6:.0f} MB")
        def end(self):
            self.say(f"{self.got / 1e6:.1f} MB, ended")
        def say(self, text):
            # one write, or the client's own bars get in between
            sys.stdout.write(f"\\nPROGRESS {self.name}: {text}\\n")
            sys.stdout.flush()
    if "progress_callbacks" in inspect.signature(snapshot_download).parameters:
        options["progress_callbacks"] = [Progress]
try:
    result = {"path": snapshot_download(model_id, **options)}
except Exception as broken:
    causes = list(getattr(broken, "failed_files", {}).values()) or [broken]
    result = {"error": "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)}
with open(answer, "w", encoding="utf-8") as file:
    json.dump(result, file)
"""
_DAMAGED = ("FileIntegrityError", "FileSizeMismatchError", "integrity check failed", "Hash mismatch")
_NOT_INSTALLED = "ModuleNotFoundError: No module named 'modelscope'"


def _ignore(_: str) -> None:
    pass


def download(
    model_id: str,
    revision: str | None = None,
    *,
    python: Path,
    env: Mapping[str, str] = os.environ,
    endpoint: str | None = None,
    cache_dir: Path | None = None,
    timeout_s: float = 3600,
    progress: Callable[[str], None] = _ignore,
) -> Path:
    """The folder the client put a model in; `progress` gets a line now and then.

    EnvironmentProblem: no client, hub not reached, time-out. WeightsProblem: no such model, or damaged on arrival.
    """
    source = f"{model_id} with revision {revision or 'master'}"
    child_env = with_loopback_no_proxy(env)
    hub = endpoint or child_env.get("MODELSCOPE_ENDPOINT")
    if hub:
        child_env["MODELSCOPE_ENDPOINT"] = hub
        if hub.startswith("https://"):  # clients before 1.40 know only this, and only https
            child_env["MODELSCOPE_DOMAIN"] = hub.removeprefix("https://").rstrip("/")
    with tempfile.TemporaryDirectory(prefix="vlm-acceptance-") as scratch:
        answer = Path(scratch) / "answer.json"
        argv = [str(python.absolute()), "-c", _CHILD, model_id, revision or "", str(cache_dir or ""), str(answer)]
        output, ended = _run(argv, child_env, Path(scratch), timeout_s, progress)
        if not ended:
            raise EnvironmentProblem(
                f"downloading {model_id} from {hub} took more than {timeout_s:g} s and was stopped"
            )
        if not answer.is_file():
            raise EnvironmentProblem(_no_answer(output, python))
        result = json.loads(answer.read_text("utf-8"))
    if "error" in result:
        raise _problem(" ".join(result["error"].split()), source, hub or "the ModelScope hub")
    return Path(result["path"])


def _run(
    argv: list[str], env: Mapping[str, str], cwd: Path, timeout_s: float, progress: Callable[[str], None]
) -> tuple[str, bool]:
    """Everything the child printed, and whether it ended by itself."""
    try:
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as broken:
        raise EnvironmentProblem(f"the interpreter {argv[0]} cannot be started: {broken}") from None
    assert child.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(child.stdout, lines, progress), daemon=True)
    reader.start()
    try:
        child.wait(timeout_s)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # nothing to do when it ended by itself
        child.wait()
        reader.join(5)
    return "".join(lines), ended


def _read(stream: IO[bytes], lines: list[str], progress: Callable[[str], None]) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace")
        lines.append(line)
        if line.startswith("PROGRESS "):
            progress(line.removeprefix("PROGRESS ").strip())


def _no_answer(output: str, python: Path) -> str:
    if _NOT_INSTALLED in output:
        return f"no ModelScope client: `{python} -m pip install modelscope`, or give the model's folder"
    last = (output.strip() or "it printed nothing").splitlines()[-1]
    return f"the ModelScope client in {python} ended without an answer: {last}"


def _problem(error: str, source: str, hub: str) -> EnvironmentProblem:
    detail = error[-300:]
    if "NotExistError" in error or ("HTTPError" in error and "404" in error) or "does not exist" in error:
        return WeightsProblem(f"{hub} has no {source}: check both names")
    if any(word in error for word in _DAMAGED):
        return WeightsProblem(f"{source} arrived damaged from {hub}, run the download again: {detail}")
    if "www.modelscope.cn" in error and "modelscope" not in hub.lower():
        hub = f"www.modelscope.cn, asked by a client too old to know MODELSCOPE_ENDPOINT={hub},"
    return EnvironmentProblem(
        f"{hub} could not deliver {source}: check the network and the client, or give the model's folder: {detail}"
    )
