"""Command lines and environments of engines. Pure: nothing is started here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.engine.machine import with_loopback_no_proxy


def serve_argv(profile: Profile, command: Sequence[str], folder: Path, port: int) -> list[str]:
    """`vllm serve FOLDER` as the profile wants it, under the profile's model id, on `port`."""
    return [
        *command,
        "serve",
        str(folder),
        "--served-model-name",
        profile.model.id,
        "--host",
        profile.engine.host,
        "--port",
        str(port),
        *profile.engine.args,
    ]


def engine_env(profile: Profile, base: Mapping[str, str], api_key: str | None = None) -> dict[str, str]:
    """The inherited environment (CANN needs it), the profile's on top, loopback spared from proxies."""
    env = with_loopback_no_proxy({**base, **profile.engine.env})
    # a command line shows in every process list; vLLM reads the key from its environment too
    if api_key:
        env["VLLM_API_KEY"] = api_key
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS", "PYTEST_VERSION"):
        env.pop(name, None)
    return env


def offline_job(
    profile: Profile, folder: Path, requests: Sequence[Mapping[str, Any]], kind: str, chunk: int | None = None
) -> dict[str, Any]:
    """What the offline worker needs to know; `requests` hold `id`, `messages` and `max_tokens` or `sampling`.

    With `chunk` the answers are written as they come, that many at a time.
    """
    job = {
        "llm": {"model": str(folder), **profile.offline.llm},
        "sampling": {"temperature": 0.0, **profile.offline.sampling},
        "requests": list(requests),
        "chat": chat_defaults(profile.model.thinking),
        "prepare": str(Path(__file__).with_name("cpu_launcher.py")) if kind == "vllm-cpu" else None,
    }
    return job if chunk is None else {**job, "chunk": chunk}


def written(path: Path, job: Mapping[str, Any]) -> Path:
    """The job as a file."""
    path.write_text(json.dumps(job), "utf-8")
    return path
