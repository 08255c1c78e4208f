"""Downloads a model or a data set with the hub's own client, in a child process of the interpreter that has it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, TimeoutExpired
from typing import IO, Any

from vlm_acceptance.core.errors import EnvironmentProblem, WeightsProblem
from vlm_acceptance.core.files import BadFile, read_json
from vlm_acceptance.engine.machine import with_loopback_no_proxy

# Run with -c in an empty folder: as a file it would put its folder, and with it our module names, before the client's
# own imports. The client writes to both of its streams, so the result comes back in a file.
_CHILD = """
import importlib, inspect, json, sys, time
module, function, repo, options, answer = sys.argv[1:]
def progress():
    from modelscope.hub.callback import ProgressCallback
    class Progress(ProgressCallback):
        def __init__(self, filename, file_size):
            self.name, self.size, self.got, self.shown = filename, file_size, 0, time.monotonic()
        def update(self, size):
            self.got += size
            if time.monotonic() - self.shown > 5:
                self.shown = time.monotonic()
                self.show(f"{self.got / 1e6:.0f} of {self.size / 1e6:.0f} MB")
        def end(self):
            self.show(f"{self.got / 1e6:.1f} MB, ended")
        def show(self, text):
            # one write, or the client's own bars get in between
            sys.stdout.write(f"\\nPROGRESS {self.name}: {text}\\n")
            sys.stdout.flush()
    return [Progress]
try:
    download, options = getattr(importlib.import_module(module), function), json.loads(options)
    if "progress_callbacks" in inspect.signature(download).parameters:
        options["progress_callbacks"] = progress()
    result = {"path": str(download(repo, **options))}
except ModuleNotFoundError as absent:
    result = {"absent": absent.name or str(absent)}
except Exception as broken:
    causes = list(getattr(broken, "failed_files", {}).values()) or [broken]
    result = {"error": "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)}
with open(answer, "w", encoding="utf-8") as file:
    json.dump(result, file)
"""
_MISSING = ("NotExistError", "RepositoryNotFoundError", "RevisionNotFoundError", "does not exist")
# an hour for each gigabyte of the largest one
DATASET_TIMEOUT_S = 6 * 3600.0
# of what the hub's client prints
_LONGEST_LINE, _LAST_LINES = 1 << 16, 200
_DAMAGED = ("FileIntegrityError", "FileSizeMismatchError", "integrity check", "Hash mismatch", "Consistency check")


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub: its client's package, `function` and `options` for data sets, and the variable with its address."""

    name: str
    module: str
    endpoint: str
    function: str
    options: Mapping[str, str]


MODELSCOPE = Hub("ModelScope", "modelscope", "MODELSCOPE_ENDPOINT", "dataset_snapshot_download", {"revision": "master"})
HUGGING_FACE = Hub("Hugging Face", "huggingface_hub", "HF_ENDPOINT", "snapshot_download", {"repo_type": "dataset"})
Progress = Callable[[str], None]


def download(
    model_id: str,
    revision: str | None = None,
    *,
    python: Path,
    env: Mapping[str, str] = os.environ,
    timeout_s: float = 3600,
    progress: Progress = lambda _: None,
) -> Path:
    """A model from ModelScope; EnvironmentProblem: no client, no hub, no time; WeightsProblem: no model or damaged."""
    options = {"revision": revision} if revision else {}
    wanted = _Wanted(MODELSCOPE, "model", model_id, revision or "master", "snapshot_download", options)
    return _download(wanted, python, env, timeout_s, progress)


def download_dataset(
    hub: Hub, id: str, revision: str | None, files: Sequence[str], *, env: Mapping[str, str] = os.environ
) -> Path:
    """The files of a data set that match the patterns; EnvironmentProblem: no client, set, hub or time, or damaged."""
    options = {**hub.options, **({"revision": revision} if revision else {}), "allow_patterns": files}
    wanted = _Wanted(hub, "data set", id, revision or "the newest", hub.function, options)
    return _download(wanted, Path(sys.executable), env, DATASET_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A download: the client's `function` is called with `id` and `options`."""

    hub: Hub
    kind: str
    id: str
    revision: str
    function: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.id} with revision {self.revision}"


def _download(
    wanted: _Wanted,
    python: Path,
    env: Mapping[str, str],
    timeout_s: float | None = None,
    progress: Progress | None = None,
) -> Path:
    address = env.get(wanted.hub.endpoint, "")
    place = address or wanted.hub.name
    child_env = with_loopback_no_proxy(env)
    if wanted.hub is MODELSCOPE and address.startswith("https://"):  # clients before 1.40 know only this, only https
        child_env["MODELSCOPE_DOMAIN"] = address.removeprefix("https://").rstrip("/")
    with tempfile.TemporaryDirectory(prefix="vlm-acceptance-") as scratch:
        answer = Path(scratch) / "answer.json"
        call = [wanted.hub.module, wanted.function, wanted.id, json.dumps(wanted.options), str(answer)]
        argv = [str(python.absolute()), "-c", _CHILD, *call]
        code, output = _run(argv, child_env, Path(scratch), timeout_s, progress)
        if code is None:
            late = f"took more than {timeout_s:g} s and was stopped"
            raise EnvironmentProblem(f"downloading {wanted.id} from {place} {late}")
        try:
            result = read_json(answer)
        except BadFile:
            last = f": {output.strip().splitlines()[-1]}" if output.strip() else ""
            client = f"the {wanted.hub.name} client in {python}"
            raise EnvironmentProblem(f"{client} ended with code {code} and without an answer{last}") from None
    if "absent" in result:
        raise EnvironmentProblem(_no_client(wanted, result["absent"], python))
    if "error" in result:
        raise _problem(wanted, " ".join(result["error"].split()), place)
    return Path(result["path"])


def _run(
    argv: list[str], env: Mapping[str, str], cwd: Path, timeout_s: float | None, progress: Progress | None
) -> tuple[int | None, str]:
    """The child's exit code, None when it was stopped, and what it printed; without `progress` that goes to stderr."""
    output = PIPE if progress else 2
    try:
        child = Popen(argv, env=env, cwd=cwd, stdin=DEVNULL, stdout=output, stderr=STDOUT, start_new_session=True)
    except OSError as broken:
        raise EnvironmentProblem(f"the interpreter {argv[0]} cannot be started: {broken}") from None
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    reader = threading.Thread(target=_read, args=(child.stdout, lines, progress), daemon=True)
    reader.start()
    code = None
    try:
        with contextlib.suppress(TimeoutExpired):
            code = child.wait(timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # nothing to do when it ended by itself
        child.wait()
        reader.join(5)
    return code, "".join(lines)


def _read(stream: IO[bytes] | None, lines: deque[str], progress: Progress) -> None:
    for raw in iter(lambda: stream.readline(_LONGEST_LINE), b"") if stream else ():
        line = raw.decode("utf-8", "replace")
        lines.append(line)
        if line.startswith("PROGRESS "):
            progress(line.removeprefix("PROGRESS ").strip())


def _no_client(wanted: _Wanted, module: str, python: Path) -> str:
    if module == wanted.hub.module:
        return f"no {wanted.hub.name} client: `{python} -m pip install {module}`, or give the {wanted.kind}'s folder"
    return f"the {wanted.hub.name} client lacks the package {module}: install it, or give the {wanted.kind}'s folder"


def _problem(wanted: _Wanted, error: str, place: str) -> EnvironmentProblem:
    problem = WeightsProblem if wanted.kind == "model" else EnvironmentProblem
    detail = error[-300:]
    if any(word in error for word in _MISSING) or ("HTTPError" in error and "404" in error):
        return problem(f"{place} has no {wanted.kind} {wanted}: check both names: {detail}")
    if any(word in error for word in _DAMAGED):
        return problem(f"{wanted} arrived damaged from {place}: run the same command again: {detail}")
    if "www.modelscope.cn" in error and "modelscope" not in place.lower():
        place = f"www.modelscope.cn, asked by a client too old to know MODELSCOPE_ENDPOINT={place},"
    advice = f"check the network and the client, or give the {wanted.kind}'s folder"
    return EnvironmentProblem(f"{place} could not deliver {wanted}: {advice}: {detail}")
