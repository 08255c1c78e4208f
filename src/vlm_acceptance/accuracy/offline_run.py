"""An accuracy run by the offline engine: questions, counts of prompt tokens and blank pictures in one job."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.blank_pictures import TOKENIZED, BlankPictures
from vlm_acceptance.accuracy.item import ANSWERED, REFUSED, Answer, PictureFile, PreparedRequest, kept_text
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.prompt_tokens import counting_requests
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import BLANK, AnswerLog, QuestionPass, repeat_line
from vlm_acceptance.accuracy.server_run import Pictures, picture_lead, system_messages, tile_limit
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.engine.offline import OfflineEngine, OfflineJob, Row, run_offline_rows

# fields of a chat body that are not sampling parameters
_ROUTE_FIELDS = frozenset({"model", "messages", "stream", "stream_options"})
# the file of a picture and the SHA-256 that its bytes must have
FileOf = Callable[[PictureFile], tuple[Path, str]]


class _Requests:
    """The requests of one job, each with the function that takes its row. Ids are `KIND/ID`."""

    def __init__(self) -> None:
        self.all: list[Mapping[str, Any]] = []
        self._takers: dict[str, Callable[[Row], None]] = {}

    def add(self, kind: str, requests: Iterable[Mapping[str, Any]], take: Callable[[str, Row], None]) -> None:
        """More requests; `take` gets the id without KIND and the row."""
        for request in requests:
            ident = f"{kind}/{request['id']}"
            self.all.append({**request, "id": ident})
            self._takers[ident] = partial(take, request["id"])

    def take(self, row: Row) -> None:
        """Pass a row on."""
        self._takers[row["id"]](row)


def by_offline_engine(log: AnswerLog, engine: OfflineEngine) -> AccuracyResult:
    """Ask the offline engine; on return its process tree is gone and every answer is on disk."""
    plan = log.plan
    counted: dict[str, int] = {}
    with contextlib.ExitStack() as at_end:
        main = at_end.enter_context(QuestionPass(log))
        blind = at_end.enter_context(QuestionPass(log, BLANK)) if plan.blank_ids else None
        blank_folder = log.folder / "blank-pictures"
        at_end.callback(shutil.rmtree, blank_folder, ignore_errors=True)
        requests = _Requests()
        _add_questions(requests, "question", main, plan.request, stored_files(plan.prepared.folder))
        if plan.profile.model.pictures.oracle != "none":
            wanted = [replace(one, id=digest) for digest, one in counting_requests(plan, plan.prepared).items()]
            small = written_files(BlankPictures(TOKENIZED), blank_folder)
            requests.add("count", offline_requests(wanted, small), partial(_take_count, counted))
        if blind is not None:
            _add_questions(requests, "blank", blind, plan.blank_request, written_files(BlankPictures(), blank_folder))
        if requests.all and not main.stop:
            timeout_s = plan.wanted.offline_timeout_s
            job = OfflineJob(requests.all, log.folder, name="offline-mmmu", timeout_s=timeout_s)
            at_end.callback(job.rows_file.unlink, missing_ok=True)  # every answer is in the answers files
            ended = run_offline_rows(_with_llm(engine, plan), job, requests.take, lambda: main.stop is not None)
            ready = f"engine ready after {ended.ready_s:.1f} s, {ended.figures.mode_shown}"
            log.print_line(f"offline engine: {ended.rows} answers, {ready}")
    return main.result(
        counted=counted,
        blank_answers=blind.answers if blind is not None else {},
        span_s=sum(answer.elapsed_s for answer in main.answers.values()),
        by_server=False,
        repeat=repeat_line(plan, "URL", "MODEL"),
    )


def _add_questions(
    requests: _Requests, kind: str, questions: QuestionPass, make: Callable[[str], PreparedRequest], file_of: FileOf
) -> None:
    asked = offline_requests(map(make, questions.remaining), file_of)
    requests.add(kind, asked, lambda ident, row: questions.add(answer_of(row, make(ident))))


def _take_count(counted: dict[str, int], ident: str, row: Row) -> None:
    if "error" not in row:  # a prompt that the engine refuses has no count
        counted[ident] = int(row["prompt_tokens"])


def _with_llm(engine: OfflineEngine, plan: AccuracyPlan) -> OfflineEngine:
    """The engine with the arguments that the profile sets for the accuracy run."""
    offline = plan.profile.offline
    offline = offline.model_copy(update={"llm": {**offline.llm, **plan.wanted.llm}})
    return replace(engine, profile=plan.profile.model_copy(update={"offline": offline}))


def stored_files(folder: Path) -> FileOf:
    """Pictures where the prepared data keeps them."""
    return lambda picture: ((folder / picture.file).resolve(), picture.sha256)


def written_files(pictures: Pictures, folder: Path) -> FileOf:
    """Generated pictures, such as blank ones; each is written to `folder` once."""

    def file_of(picture: PictureFile) -> tuple[Path, str]:
        data = pictures.picture_bytes(picture)
        digest = hashlib.sha256(data).hexdigest()
        path = (folder / digest).with_suffix(Path(picture.file).suffix).resolve()
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return path, digest

    return file_of


def offline_requests(questions: Iterable[PreparedRequest], file_of: FileOf) -> Iterator[dict[str, Any]]:
    """One request for each question; a picture is named by its file, so that the job stays small."""
    for asked in questions:
        parts = [_picture_part(picture, file_of) for picture in asked.pictures]
        yield {
            "id": asked.id,
            "messages": _messages(asked.system, [*parts, {"type": "text", "text": asked.text}]),
            "sampling": {name: value for name, value in asked.params.items() if name not in _ROUTE_FIELDS},
            "chat": tile_limit(asked),
        }


def answer_of(row: Row, asked: PreparedRequest) -> Answer:
    """The answer in a row of the offline worker; HarnessProblem when the row lacks a field."""
    try:
        is_answered = "error" not in row
        text, cut = kept_text(row["text"]) if is_answered else (None, "")
        return Answer(
            id=asked.id,
            status=ANSWERED if is_answered else REFUSED,
            text=text,
            finish_reason=row["finish_reason"] if is_answered else None,
            prompt_tokens=row["prompt_tokens"] if is_answered else None,
            completion_tokens=row["completion_tokens"] if is_answered else None,
            error=cut if is_answered else str(row["error"]),
            http_status=None,
            started_utc=row["started_utc"],
            elapsed_s=row["elapsed_s"],
            attempts=(),
            prompt_sha256=asked.sha256,
            pictures=tuple(picture.sha256 for picture in asked.pictures),
            model=None,
        )
    except KeyError as missing:
        raise HarnessProblem(f"the offline worker's row of {asked.id} has no {missing}") from None


def _messages(system: str, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*system_messages(system), {"role": "user", "content": parts}]


def _picture_part(picture: PictureFile, file_of: FileOf) -> dict[str, Any]:
    path, digest = file_of(picture)
    return {"type": "image_file", "path": str(path), "sha256": digest, "lead": picture_lead(picture)}
