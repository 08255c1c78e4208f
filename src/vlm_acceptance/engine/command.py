"""Command lines and environments of engines. Pure: nothing is started here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.files import expanded
from vlm_acceptance.engine.machine import with_loopback_no_proxy

# the default of vLLM with ModelScope, and of the ModelScope client
DEFAULT_REVISION = "master"
_REVISIONS = ("--revision", "--code-revision", "--tokenizer-revision")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_FOLDER_LISTS = {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH"}
# folders that need not exist yet
_CACHES = {"MODELSCOPE_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT"}


def serve_argv(profile: Profile, command: Sequence[str], folder: Path, port: int) -> list[str]:
    """The command line of `vllm serve` on `port`: of the folder under the profile's model id, or of the id itself."""
    engine, model = profile.engine, profile.model
    if engine.serve == "id":
        revision = [word for option in _REVISIONS for word in (option, model.revision)]
        what = [model.id, *(revision if model.revision != DEFAULT_REVISION else [])]
    else:
        what = [str(folder), "--served-model-name", model.id]
    return [*command, "serve", *what, "--host", engine.host, "--port", str(port), *map(absolute, engine.args)]


def absolute(word: str) -> str:
    """A relative path of something that exists, also after `--option=`, as an absolute path: engines run elsewhere."""
    option, sign, path = word.partition("=") if word.startswith("-") else ("", "", word)
    if not path or path.startswith(("/", "~")):
        return word
    with contextlib.suppress(OSError, ValueError):  # too long for a path
        # without a slash only a file: `bfloat16` may well be the name of a folder
        if Path(path).exists() if "/" in path else Path(path).is_file():
            return f"{option}{sign}{Path(path).absolute()}"
    return word


def with_absolute_paths(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of `env` without relative paths: those of something that exists, and those in lists of folders."""
    found = {name: absolute(value) if "/" in value else value for name, value in env.items()}
    found |= {name: str(expanded(env[name]).absolute()) for name in _CACHES & env.keys() if env[name]}
    for name in _FOLDER_LISTS & env.keys():
        # an empty entry is the current folder, which was never meant
        found[name] = ":".join(str(Path(place).absolute()) for place in env[name].split(":") if place)
    return found


def engine_env(profile: Profile, base: Mapping[str, str], api_key: str | None = None) -> dict[str, str]:
    """The inherited environment (CANN needs it) and the profile's; loopback addresses need no proxy."""
    own = profile.engine.env
    if profile.engine.serve == "id":  # it must be able to ask the hub
        own = {name: value for name, value in own.items() if name not in _OFFLINE}
    env = with_loopback_no_proxy({**base, **own})
    # the process list shows command lines; vLLM reads the key from its environment too
    if api_key:
        env["VLLM_API_KEY"] = api_key
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS", "PYTEST_VERSION"):
        env.pop(name, None)
    return env


def offline_job(
    profile: Profile, folder: Path, requests: Sequence[Mapping[str, Any]], kind: str, chunk: int
) -> dict[str, Any]:
    """The job of an offline worker; `chunk` requests are answered together, then their rows are written."""
    return {
        "llm": {**_served(profile, folder), **{key: _absolute(value) for key, value in profile.offline.llm.items()}},
        "sampling": {"temperature": 0.0, **profile.offline.sampling},
        "requests": list(requests),
        "chat": chat_defaults(profile.model.thinking),
        "prepare": str(Path(__file__).with_name("cpu_launcher.py")) if kind == "vllm-cpu" else None,
        "chunk": chunk,
    }


def _served(profile: Profile, folder: Path) -> dict[str, str]:
    """What the offline engine loads: the folder, or the model's id."""
    model = profile.model
    if profile.engine.serve == "folder":
        return {"model": str(folder)}
    names = [option.removeprefix("--").replace("-", "_") for option in _REVISIONS]
    revision = dict.fromkeys(names, model.revision) if model.revision != DEFAULT_REVISION else {}
    return {"model": model.id, **revision}


def _absolute(value: Any) -> Any:
    return absolute(value) if isinstance(value, str) else value
