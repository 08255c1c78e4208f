"""The offline engine: all its cases in one batch, in the engine's interpreter, gone before the server starts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.deployment import command, engine_log
from vlm_acceptance.deployment.process import Ending, KeptProcess
from vlm_acceptance.errors import EngineFailure, EnvironmentProblem, HarnessProblem, VlmAcceptanceError
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
    """Run the batch in `place`; EngineFailure or EnvironmentProblem says why there are no answers.

    Its process tree is gone on return, whatever happens.
    """
    place.mkdir(parents=True, exist_ok=True)
    job, out = place / "offline-job.json", place / "offline-answers.json"
    out.unlink(missing_ok=True)
    argv = [str(python), str(WORKER), str(job), str(out)]
    # the job goes with its engine, whoever ends it: it is large, it holds every picture
    process = KeptProcess(argv, command.engine_env(profile, env), place / "offline.log", run_id, files=[job])
    try:
        command.written(job, command.offline_job(profile, folder, requests, kind))
        process.start()
        finished = _wait(process, profile.offline.timeout_s, progress)
    finally:
        ending = process.stop(profile.engine.stop_timeout_s)
        job.unlink(missing_ok=True)
    if not finished or process.exit_code != 0 or not out.is_file():
        raise _failure(process, finished, profile)
    return _answers(out, profile, process.log, ending)


def _wait(process: KeptProcess, timeout_s: float, progress: Callable[[str], None]) -> bool:
    """Whether the engine ended by itself within `timeout_s`."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < timeout_s:
        process.wait(min(1.0, timeout_s - passed))
        if process.has_exited:
            return True
        progress(f"offline engine, {time.monotonic() - began:.0f} s: {process.last_line()}")
    return False


def _failure(process: KeptProcess, finished: bool, profile: Profile) -> VlmAcceptanceError:
    """EnvironmentProblem when the log lays the end at the machine's door, else EngineFailure."""
    telling = engine_log.telling_lines(process.log_text(), profile.engine.harmless_log)
    remedy = engine_log.explain(telling)
    what = f"did not finish within {profile.offline.timeout_s:g} s"
    if finished:
        what = f"ended without answers ({process.how_it_ended})"
    lines = "".join(f"\n    {line}" for line in telling)
    message = f"the offline engine {what}{'; ' + remedy if remedy else ''} (log: {process.log}){lines}"
    blame_machine = finished and engine_log.is_environment(telling)
    return EnvironmentProblem(message) if blame_machine else EngineFailure(message)


def _answers(out: Path, profile: Profile, log: Path, ending: Ending) -> OfflineRun:
    try:
        result = json.loads(out.read_text("utf-8"))
        replies = {answer["id"]: _reply(answer, profile) for answer in result["answers"]}
        return OfflineRun(replies, float(result["ready_s"]), float(result["batch_s"]), log, ending)
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise HarnessProblem(f"{out} is not what the offline worker writes: {broken!r:.200}") from broken


def _reply(answer: Mapping[str, Any], profile: Profile) -> Reply:
    prompt, completion = answer["prompt_tokens"], answer["completion_tokens"]
    usage = Usage(prompt, completion, prompt + completion)
    return Reply(answer["text"], answer["finish_reason"], usage, profile.model.id, 0.0)
