"""A benchmark's questions as requests of an offline job, and the job's rows as answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.item import ANSWERED, REFUSED, Answer, PictureFile, PreparedRequest, kept_text
from vlm_acceptance.accuracy.server_run import Pictures, picture_lead, system_messages, tile_limit
from vlm_acceptance.core.errors import HarnessProblem

TWIN = "text of "
# Fields of a chat body that are no sampling parameters.
_OF_THE_ROUTE = frozenset({"model", "messages", "stream", "stream_options"})

# The file of a picture and the SHA-256 that its bytes must have.
FileOf = Callable[[PictureFile], tuple[Path, str]]


def stored_files(folder: Path) -> FileOf:
    """Pictures where the prepared data keeps them."""
    return lambda picture: ((folder / picture.file).resolve(), picture.sha256)


def written_files(pictures: Pictures, folder: Path) -> FileOf:
    """Pictures that are made, such as blank ones, each written to `folder` once."""

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
    """One request a question; pictures are named by their files, so that a job stays small."""
    for asked in questions:
        parts = [_picture_part(picture, file_of) for picture in asked.pictures]
        sampling = {name: value for name, value in asked.params.items() if name not in _OF_THE_ROUTE}
        yield {
            "id": asked.id,
            "messages": _messages(asked.system, [*parts, {"type": "text", "text": asked.text}]),
            "sampling": sampling,
            "chat": tile_limit(asked),
        }


def twin_requests(texts: Iterable[tuple[str, str, str]]) -> Iterator[dict[str, Any]]:
    """Requests that only count the prompt tokens of (id, system message, text); rows have `twin_id(id)`."""
    for ident, system, text in texts:
        messages = _messages(system, [{"type": "text", "text": text}])
        yield {"id": TWIN + ident, "messages": messages, "sampling": {"temperature": 0.0, "max_tokens": 1}}


def twin_id(row: Mapping[str, Any]) -> str | None:
    """The id whose text twin a row counts; None for the row of a question."""
    ident = str(row["id"])
    return ident.removeprefix(TWIN) if ident.startswith(TWIN) else None


def answer_of(row: Mapping[str, Any], asked: PreparedRequest) -> Answer:
    """The answer in a row of the offline job; HarnessProblem when the row is not of that form."""
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
