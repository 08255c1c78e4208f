"""Fetches the published data with a hub's own client, in a child process of this interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.core.errors import EnvironmentProblem

# Run with -c and in an empty folder, so that no module of ours gets in the way of the client's imports. The client
# writes to both of its streams, which the person at the terminal sees; the answer travels in a file.
_MODELSCOPE = """
from modelscope import dataset_snapshot_download
path = dataset_snapshot_download(repo, revision=revision or "master", allow_patterns=wanted)
"""
_HUGGINGFACE = """
from huggingface_hub import snapshot_download
path = snapshot_download(repo, repo_type="dataset", revision=revision or None, allow_patterns=wanted)
"""
_CHILD = """
import json, sys
repo, revision, answer, fetch, *wanted = sys.argv[1:]
try:
    known = {"repo": repo, "revision": revision, "wanted": wanted}
    exec(fetch, known)
    result = {"path": str(known["path"])}
except ModuleNotFoundError as absent:
    result = {"absent": absent.name}
except Exception as broken:
    causes = list(getattr(broken, "failed_files", {}).values()) or [broken]
    result = {"error": "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)}
with open(answer, "w", encoding="utf-8") as file:
    json.dump(result, file)
"""
_WANTED = ("*validation-*.parquet", "*counts.json")
_ABSENT = ("NotExistError", "RepositoryNotFoundError", "RevisionNotFoundError", "does not exist")
_DAMAGED = (
    "FileIntegrityError",
    "FileSizeMismatchError",
    "integrity check failed",
    "Hash mismatch",
    "Consistency check",
)


@dataclass(frozen=True, slots=True)
class Hub:
    """A place that publishes MMMU. `module` is its client, `fetch` what that is asked, `id` the usual data set."""

    name: str
    module: str
    id: str
    fetch: str
    endpoint: str


HUBS = {
    "modelscope": Hub("ModelScope", "modelscope", "AI-ModelScope/MMMU", _MODELSCOPE, "MODELSCOPE_ENDPOINT"),
    "huggingface": Hub("Hugging Face", "huggingface_hub", "MMMU/MMMU", _HUGGINGFACE, "HF_ENDPOINT"),
}


def fetch(hub: Hub, id: str, revision: str | None, *, env: Mapping[str, str] = os.environ) -> Path:
    """The folder that the hub's client put the validation files of a data set in; what it prints goes to stderr.

    EnvironmentProblem, in one line: no client, no such data, the hub is not reached, the files arrived damaged.
    """
    with tempfile.TemporaryDirectory(prefix="vlm-acceptance-") as scratch:
        answer = Path(scratch) / "answer.json"
        argv = [sys.executable, "-c", _CHILD, id, revision or "", str(answer), hub.fetch, *_WANTED]
        done = subprocess.run(argv, env=_child_env(env), cwd=scratch, stdin=subprocess.DEVNULL, stdout=2, check=False)
        if not answer.is_file():
            raise EnvironmentProblem(f"the {hub.name} client ended with code {done.returncode} and without an answer")
        result = json.loads(answer.read_text("utf-8"))
    if "absent" in result:
        raise EnvironmentProblem(_no_client(hub, result["absent"]))
    if "error" in result:
        raise EnvironmentProblem(_why(hub, f"{id} with revision {revision or 'the newest'}", result["error"], env))
    return Path(result["path"])


def _child_env(env: Mapping[str, str]) -> dict[str, str]:
    """No proxy is asked for loopback, and old clients find the hub they are told too."""
    excepted = ",".join(filter(None, (env.get("NO_PROXY"), env.get("no_proxy"), "localhost,127.0.0.1,::1")))
    endpoint = env.get("MODELSCOPE_ENDPOINT", "")
    # clients before 1.40 know only this, and only https
    domain = {"MODELSCOPE_DOMAIN": endpoint[8:].rstrip("/")} if endpoint.startswith("https://") else {}
    return {**env, "NO_PROXY": excepted, "no_proxy": excepted, **domain}


def _no_client(hub: Hub, module: str) -> str:
    if module == hub.module:
        return f"no {hub.name} client here: `{sys.executable} -m pip install {hub.module}`, or give a folder"
    return f"the {hub.name} client lacks the package {module}: install it, or give a folder"


def _why(hub: Hub, wanted: str, error: str, env: Mapping[str, str]) -> str:
    place = env.get(hub.endpoint) or hub.name
    detail = " ".join(error.split())[-300:]
    if any(word in error for word in _ABSENT) or ("HTTPError" in error and "404" in error):
        return f"{place} has no data set {wanted}: check both names: {detail}"
    if any(word in error for word in _DAMAGED):
        return f"{wanted} arrived damaged from {place}: run the same command again: {detail}"
    return f"{place} could not deliver {wanted}: check the network, or give a folder: {detail}"
