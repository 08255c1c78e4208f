"""The offline engine: all its cases in one batch, in the engine's interpreter, gone before the server starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.deployment import command, engine_log
from vlm_acceptance.deployment.process import Ending, KeptProcess
from vlm_acceptance.errors import EngineFailure
from vlm_acceptance.profile import Profile
from vlm_acceptance.reply import Reply, Usage

WORKER = Path(__file__).with_name("offline_worker.py")


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """What the offline engine answered, by request id, with its log and how it ended; times in seconds."""

    replies: Mapping[str, Reply]
    ready_s: float
    batch_s: float
    log: Path
    ending: Ending


def run_offline(
    profile: Profile,
    python: Path,
    kind: str,
    folder: Path,
    requests: Sequence[Mapping[str, Any]],
    env: Mapping[str, str],
    place: Path,
    run_id: str,
    progress: Callable[[str], None],
) -> OfflineRun:
    """Run the batch in `place`; EngineFailure says why there are no answers. Its process tree is gone on return."""
    place.mkdir(parents=True, exist_ok=True)
    job = command.written(place / "offline-job.json", command.offline_job(profile, folder, requests, kind))
    out = place / "offline-answers.json"
    out.unlink(missing_ok=True)
    argv = [str(python), str(WORKER), str(job), str(out)]
    process = KeptProcess(argv, command.engine_env(profile, env), place / "offline.log", run_id)
    process.start()
    try:
        code = _wait(process, profile.offline.timeout_s, progress)
    finally:
        ending = process.stop(profile.engine.stop_timeout_s)
        job.unlink(missing_ok=True)  # large: it holds every picture
    if code != 0 or not out.is_file():
        raise EngineFailure(_why(process, code, profile))
    result = json.loads(out.read_text("utf-8"))
    replies = {answer["id"]: _reply(answer, profile) for answer in result["answers"]}
    return OfflineRun(replies, result["ready_s"], result["batch_s"], process.log, ending)


def _wait(process: KeptProcess, timeout_s: float, progress: Callable[[str], None]) -> int | None:
    waited = 0.0
    while waited < timeout_s:
        code = process.wait(1.0)
        if process.has_exited:
            return code
        waited += 1.0
        last = (
            process.log.read_text("utf-8", "replace").rstrip().rpartition("\n")[2][-100:]
            if process.log.exists()
            else ""
        )
        progress(f"offline engine, {waited:.0f} s: {last}")
    return None


def _why(process: KeptProcess, code: int | None, profile: Profile) -> str:
    text = process.log.read_text("utf-8", "replace") if process.log.exists() else ""
    telling = engine_log.telling_lines(text, profile.engine.harmless_log)
    remedy = engine_log.explain(telling)
    what = f"did not finish within {profile.offline.timeout_s:g} s" if code is None else f"ended with exit code {code}"
    lines = "".join(f"\n    {line}" for line in telling)
    return f"the offline engine {what}{'; ' + remedy if remedy else ''} (log: {process.log}){lines}"


def _reply(answer: Mapping[str, Any], profile: Profile) -> Reply:
    prompt, completion = answer["prompt_tokens"], answer["completion_tokens"]
    usage = Usage(prompt, completion, prompt + completion)
    return Reply(answer["text"], answer["finish_reason"], usage, profile.model.id, 0.0)
