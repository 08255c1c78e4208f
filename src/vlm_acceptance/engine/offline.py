"""Runs one offline engine for one job. Answers come as JSON lines; the process tree is gone on return."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.engine_figures import EngineFigures, ExitReport
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.exchange import Reply, Usage, token_count
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.numbers import BadNumber, figure, read_json
from vlm_acceptance.engine import command
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine.process import SupervisedProcess

WORKER = Path(__file__).with_name("offline_worker.py")
CHUNK = 64  # requests answered together: their pictures are in memory at the same time
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OfflineEngine:
    """How to start the offline `LLM`: interpreter, kind of vLLM, model folder, environment, tag of the run."""

    profile: Profile
    python: Path
    kind: str
    folder: Path
    env: Mapping[str, str]
    run_id: str
    progress: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OfflineJob:
    """Requests (`id`, `messages`, `max_tokens` or `sampling`), `chunk` at a time; `timeout_s` None: the profile's."""

    requests: Sequence[Mapping[str, Any]]
    place: Path
    name: str = "offline"
    chunk: int = CHUNK
    timeout_s: float | None = None

    @property
    def file(self) -> Path:
        """The job as the worker reads it."""
        return self.place / f"{self.name}-job.json"

    @property
    def rows_file(self) -> Path:
        """The JSON lines that the worker writes."""
        return self.place / f"{self.name}-answers.jsonl"


@dataclass(frozen=True, slots=True)
class OfflineEnd:
    """How a job ended: number of rows, whether every request has one, times in seconds, exit and log of the engine."""

    rows: int
    is_complete: bool
    ready_s: float
    batch_s: float
    ending: ExitReport
    figures: EngineFigures = field(default_factory=EngineFigures)


@dataclass(frozen=True, slots=True)
class OfflineRun:
    """Replies and log probabilities of an offline engine by request id; times in seconds."""

    replies: Mapping[str, Reply]
    logprobs: Mapping[str, LogProbs]
    ready_s: float
    batch_s: float
    ending: ExitReport
    figures: EngineFigures = field(default_factory=EngineFigures)


def run_offline(engine: OfflineEngine, requests: Sequence[Mapping[str, Any]], place: Path) -> OfflineRun:
    """Answer all in one batch; EngineFailure: an answer is missing or refused; EnvironmentProblem: by the machine."""
    rows: list[Row] = []
    job = OfflineJob(requests, place, chunk=max(1, len(requests)))
    ended = run_offline_rows(engine, job, rows.append)
    for row in rows:
        if "error" in row:
            raise EngineFailure(f"the offline engine refused {row['id']}: {row['error']} (rows: {job.rows_file})")
    try:
        replies = {row["id"]: _reply(row, engine.profile.model.id) for row in rows}
        logprobs = {row["id"]: _logprobs(row) for row in rows if "top" in row}
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise HarnessProblem(f"{job.rows_file} is not in the format of the offline worker: {broken!r:.200}") from broken
    return OfflineRun(replies, logprobs, ended.ready_s, ended.batch_s, ended.ending, ended.figures)


def run_offline_rows(
    engine: OfflineEngine, job: OfflineJob, on_row: Callable[[Row], None], stop: Callable[[], bool] = lambda: False
) -> OfflineEnd:
    """Run a job to its end or `stop()`; `on_row` gets each row within a second.

    A row has id, started_utc, elapsed_s, and `error` or text, finish_reason and token counts. EngineFailure or
    EnvironmentProblem when rows are missing; all rows that exist were passed on before.
    """
    timeout_s = engine.profile.offline.timeout_s if job.timeout_s is None else job.timeout_s
    job.place.mkdir(parents=True, exist_ok=True)
    job.rows_file.unlink(missing_ok=True)
    argv = [str(path.absolute()) for path in (engine.python, WORKER, job.file, job.rows_file)]
    # the job file may be large: the supervisor removes it even when the suite is killed
    env = command.engine_env(engine.profile, engine.env)
    log, children_s = job.place / f"{job.name}.log", engine.profile.engine.children_timeout_s
    process = SupervisedProcess(argv, env, log, engine.run_id, files=[job.file], children_s=children_s)
    rows = _Rows(job, on_row)

    def poll() -> bool:
        rows.take()
        engine.progress(_waits_for(rows.count, len(job.requests), process.last_line()))
        return stop()

    try:
        finished, ending = _run(process, engine, job, timeout_s, poll)
    finally:
        rows.take()  # also after Ctrl-C: answers that exist are kept
    is_complete = rows.is_done and rows.count == len(job.requests)
    if rows.problem:
        raise EnvironmentProblem(f"{rows.problem}: prepare the data again")
    if not stop() and not (is_complete and process.exit_code == 0):
        raise _failure(process, finished, engine.profile, timeout_s)
    figures = engine_log.figures(process.log_text().splitlines())
    return OfflineEnd(rows.count, is_complete, rows.ready_s, rows.batch_s, ending, figures)


class _Rows:
    """Reads the rows file while the worker still writes it."""

    def __init__(self, job: OfflineJob, on_row: Callable[[Row], None]) -> None:
        self.count = 0
        self.ready_s = 0.0
        self.batch_s = 0.0
        self.is_done = False
        self.problem = ""
        self._path = job.rows_file
        self._ids = {request["id"] for request in job.requests}
        self._on_row = on_row
        self._offset = 0

    def take(self) -> None:
        """Pass on what is new; an incomplete line is left for the next call."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            row = read_json(line)
            key = next(key for key in ("id", "ready_s", "batch_s", "problem") if key in row)
            value = figure(row[key]) if key in ("ready_s", "batch_s") else str(row[key])
            if key == "id" and value not in self._ids:
                raise ValueError("no request has this id")
        except BadNumber as broken:
            # the worker writes the engine's own figures as they are
            raise EngineFailure(
                f"the offline engine answered with no number: {broken} (rows: {self._path})"
            ) from broken
        except (ValueError, TypeError, StopIteration) as broken:
            raise HarnessProblem(f"{self._path} is not in the format of the offline worker: {line!r:.200}") from broken
        if key == "id":
            self.count += 1
            self._on_row(row)
        else:
            setattr(self, key, value)
            self.is_done = self.is_done or key == "batch_s"


def _waits_for(answered: int, asked: int, last_line: str) -> str:
    last = engine_log.message_of(last_line)
    return f"{answered} of {asked} answers" if answered else f"starts; {last or 'its log has no line yet'}"


def _run(
    process: SupervisedProcess, engine: OfflineEngine, job: OfflineJob, timeout_s: float, poll: Callable[[], bool]
) -> tuple[bool, ExitReport]:
    """Whether the engine ended by itself within `timeout_s`, and how; `poll`, once a second, may end it."""
    finished = False
    try:
        content = command.offline_job(engine.profile, engine.folder, job.requests, engine.kind, job.chunk)
        job.file.write_text(json.dumps(content), "utf-8")
        process.start()
        began = time.monotonic()
        while (left := timeout_s - (time.monotonic() - began)) > 0:
            process.wait(min(1.0, left))
            finished = process.has_exited
            if finished or poll():
                break
    finally:
        ending = process.stop(engine.profile.engine.stop_timeout_s)
        job.file.unlink(missing_ok=True)
    return finished, ending


def _failure(process: SupervisedProcess, finished: bool, profile: Profile, timeout_s: float) -> VlmAcceptanceError:
    """EnvironmentProblem when the log shows that the machine caused the engine's end, else EngineFailure."""
    lines = engine_log.error_lines(process.log_text(), profile.engine.harmless_log)
    ended = f"ended without answers ({process.how_it_ended})"
    what = f"the offline engine {ended if finished else f'did not finish within {timeout_s:g} s'}"
    message = engine_log.death_message(what, lines, f" (log: {process.log})")
    is_environment = finished and engine_log.is_environment(lines)
    return EnvironmentProblem(message) if is_environment else EngineFailure(message)


def _reply(row: Row, model: str) -> Reply:
    prompt, completion = (token_count(row[f"{name}_tokens"]) for name in ("prompt", "completion"))
    if prompt is None or completion is None:
        raise ValueError("a count of tokens is none")
    return Reply(row["text"], row["finish_reason"], Usage(prompt, completion, prompt + completion), model, 0.0)


def _logprobs(row: Row) -> LogProbs:
    top = tuple({int(token): figure(p) for token, p in listed.items()} for listed in row["top"])
    return LogProbs(row["text"], tuple(row["tokens"]), top)
