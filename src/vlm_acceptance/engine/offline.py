"""The offline engine: its whole job in its own interpreter, answers at the end or as they come, gone on return."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.reply import Reply, Usage
from vlm_acceptance.engine import command
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine.process import ExitReport, SupervisedProcess

WORKER = Path(__file__).with_name("offline_worker.py")
CHUNK = 64  # questions answered before the next are read: their pictures are in memory together


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """What the offline engine answered, by request id, with its log and how it ended; times in seconds."""

    replies: Mapping[str, Reply]
    ready_s: float
    batch_s: float
    log: Path
    ending: ExitReport
    numbers: Mapping[str, LogProbs] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfflineRows:
    """How a job ended whose rows were handed over as they came. `whole`: every request has its row."""

    rows: int
    whole: bool
    ready_s: float
    log: Path
    ending: ExitReport


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
    out = place / "offline-answers.json"
    job = command.offline_job(profile, folder, requests, kind)
    process = _process(profile, python, env, place / "offline", out, run_id)

    def look(passed_s: float) -> bool:
        progress(f"offline engine, {passed_s:.0f} s: {process.last_line()}")
        return False

    finished, ending = _run(process, place / "offline-job.json", job, profile, profile.offline.timeout_s, look)
    if not finished or process.exit_code != 0 or not out.is_file():
        raise _failure(process, finished, profile, profile.offline.timeout_s)
    return _answers(out, profile, process.log, ending)


def run_offline_rows(
    profile: Profile,
    python: Path,
    kind: str,
    folder: Path,
    requests: Sequence[Mapping[str, Any]],
    env: Mapping[str, str],
    place: Path,
    run_id: str,
    progress: Callable[[str], None],
    *,
    name: str,
    on_row: Callable[[Mapping[str, Any]], None],
    should_stop: Callable[[], bool] = lambda: False,
    chunk: int = CHUNK,
    timeout_s: float | None = None,
) -> OfflineRows:
    """Run a job in chunks, its files in `place` named after `name`; `on_row` gets each row within a second.

    A row holds id, started_utc, elapsed_s and either text, finish_reason and token counts or `error`. Ends early when
    `should_stop()`. EngineFailure or EnvironmentProblem when rows are missing, after those there were are handed
    over. Its process tree is gone on return, whatever happens.
    """
    limit_s = profile.offline.timeout_s if timeout_s is None else timeout_s
    out = place / f"{name}-answers.jsonl"
    job = command.offline_job(profile, folder, requests, kind, chunk)
    process = _process(profile, python, env, place / name, out, run_id)
    rows = _Rows(out, on_row)

    def look(passed_s: float) -> bool:
        rows.take()
        if not rows.count:
            progress(f"offline engine, {passed_s:.0f} s: {process.last_line()}")
        return should_stop()

    try:
        finished, ending = _run(process, place / f"{name}-job.json", job, profile, limit_s, look)
    finally:
        # whatever ended it, Ctrl-C included: what is answered is kept
        rows.take_rest()
    is_whole = rows.is_done and rows.count == len(requests)
    if rows.problem:
        raise EnvironmentProblem(f"{rows.problem}: prepare the data again")
    if not should_stop() and not (is_whole and process.exit_code == 0):
        raise _failure(process, finished, profile, limit_s)
    return OfflineRows(rows.count, is_whole, rows.ready_s, process.log, ending)


class _Rows:
    """Reads a file of JSON lines while another process writes it."""

    def __init__(self, path: Path, on_row: Callable[[Mapping[str, Any]], None]) -> None:
        self.count = 0
        self.ready_s = 0.0
        self.is_done = False
        self.problem = ""
        self._path = path
        self._on_row = on_row
        self._read = 0

    def take(self) -> None:
        """Hand over what is new; a line without its end is left for the next time."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                self._line(line)

    def take_rest(self) -> None:
        """Hand over what is left; the file is gone afterwards."""
        try:
            self.take()
        finally:
            self._path.unlink(missing_ok=True)

    def _line(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            known = next(key for key in ("id", "ready_s", "batch_s", "problem") if key in row)
        except (ValueError, TypeError, StopIteration) as broken:
            raise HarnessProblem(f"{self._path} is not what the offline worker writes: {line!r:.200}") from broken
        if known == "id":
            self.count += 1
            self._on_row(row)
        elif known == "ready_s":
            self.ready_s = float(row["ready_s"])
        elif known == "problem":
            self.problem = str(row["problem"])
        else:
            self.is_done = True


def _process(
    profile: Profile, python: Path, env: Mapping[str, str], stem: Path, out: Path, run_id: str
) -> SupervisedProcess:
    stem.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    job = stem.with_name(f"{stem.name}-job.json")
    argv = [str(python), str(WORKER), str(job), str(out)]
    # the job goes with its engine, whoever ends it: it is large, it may hold every picture
    log = stem.with_name(f"{stem.name}.log")
    return SupervisedProcess(argv, command.engine_env(profile, env), log, run_id, files=[job])


def _run(
    process: SupervisedProcess,
    job: Path,
    content: Mapping[str, Any],
    profile: Profile,
    timeout_s: float,
    look: Callable[[float], bool],
) -> tuple[bool, ExitReport]:
    """Whether the engine ended by itself within `timeout_s`, and how it went; `look` may end it earlier."""
    try:
        command.written(job, content)
        process.start()
        finished = _wait(process, timeout_s, look)
    finally:
        ending = process.stop(profile.engine.stop_timeout_s)
        job.unlink(missing_ok=True)
    return finished, ending


def _wait(process: SupervisedProcess, timeout_s: float, look: Callable[[float], bool]) -> bool:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < timeout_s:
        process.wait(min(1.0, timeout_s - passed))
        if process.has_exited:
            return True
        if look(time.monotonic() - began):
            return False
    return False


def _failure(process: SupervisedProcess, finished: bool, profile: Profile, timeout_s: float) -> VlmAcceptanceError:
    """EnvironmentProblem when the log lays the end at the machine's door, else EngineFailure."""
    telling = engine_log.telling_lines(process.log_text(), profile.engine.harmless_log)
    remedy = engine_log.explain(telling)
    what = f"did not finish within {timeout_s:g} s"
    if finished:
        what = f"ended without answers ({process.how_it_ended})"
    lines = "".join(f"\n    {line}" for line in telling)
    message = f"the offline engine {what}{'; ' + remedy if remedy else ''} (log: {process.log}){lines}"
    blame_machine = finished and engine_log.is_environment(telling)
    return EnvironmentProblem(message) if blame_machine else EngineFailure(message)


def _answers(out: Path, profile: Profile, log: Path, ending: ExitReport) -> OfflineRun:
    try:
        result = json.loads(out.read_text("utf-8"))
        replies = {answer["id"]: _reply(answer, profile) for answer in result["answers"]}
        numbers = {answer["id"]: _numbers(answer) for answer in result["answers"] if "top" in answer}
        return OfflineRun(replies, float(result["ready_s"]), float(result["batch_s"]), log, ending, numbers)
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise HarnessProblem(f"{out} is not what the offline worker writes: {broken!r:.200}") from broken


def _reply(answer: Mapping[str, Any], profile: Profile) -> Reply:
    prompt, completion = answer["prompt_tokens"], answer["completion_tokens"]
    usage = Usage(prompt, completion, prompt + completion)
    return Reply(answer["text"], answer["finish_reason"], usage, profile.model.id, 0.0)


def _numbers(answer: Mapping[str, Any]) -> LogProbs:
    top = tuple({int(token): float(p) for token, p in listed.items()} for listed in answer["top"])
    return LogProbs(answer["text"], tuple(answer["tokens"]), top)
