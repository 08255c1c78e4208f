"""Rows of JSON lines files with pictures in a folder beside them, and right answers in a file of annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vlm_acceptance.accuracy.published import QUESTIONS, TEXT, refuse
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, BadFile, inside, is_file, parse_json, read_bytes, read_json, read_lines, shown
from vlm_acceptance.core.pictures import PICTURE_BYTES

_LINE_BYTES, _ROWS_BYTES = MB, 128 * MB
_ANNOTATIONS_BYTES = 64 * MB
_LONGEST_NAME, _MOST_PARTS = 1000, 20


def jsonl_rows(path: Path, needed: Sequence[str], dataset: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and fields of every line that is not empty; EnvironmentProblem: damaged, or another data set."""
    try:
        for number, line in read_lines(path, _LINE_BYTES, _ROWS_BYTES):
            if not line.strip():
                continue
            if number > QUESTIONS:
                raise EnvironmentProblem(f"{path.name} has more than {QUESTIONS} lines: this is not {dataset}")
            yield number, _fields(line, number, path.name, needed, dataset)
    except BadFile as broken:
        raise EnvironmentProblem(f"{shown(path)} {broken}") from None


def _fields(line: bytes, number: int, file: str, needed: Sequence[str], dataset: str) -> dict[str, Any]:
    try:
        fields = parse_json(line)
    except BadFile as broken:
        raise EnvironmentProblem(f"{file}: line {number} {broken}: download it again") from None
    if not isinstance(fields, dict):
        raise EnvironmentProblem(f"{file}: line {number} is not an object: this is not {dataset}")
    if absent := sorted(set(needed) - set(fields)):
        raise EnvironmentProblem(f"{file}: line {number} has no {', '.join(absent)}: this is not {dataset}")
    if long := next((name for name, value in fields.items() if len(str(value)) > TEXT), None):
        refuse(file, f"line {number}", f"its {shown(long, 40)} has more than {TEXT} characters")
    return fields


class PicturePaths:
    """The pictures of JSON lines files below `folder`, whose rows name them from some folder above.

    A name such as `data/docvqa/val/documents/x.png` is looked for as it is, then without its first parts. All rows of a
    file lose as many as its first row: else another picture of the same name would stand in for a missing one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dropped: dict[str, int] = {}

    def path(self, name: object, lines: str, file: str, id: str) -> Path:
        """The picture's file, named in the file `lines`; refused if there is none, or it is not below the folder."""
        parts = PurePosixPath(name).parts if isinstance(name, str) else ()
        if len(str(name)) > _LONGEST_NAME or len(parts) > _MOST_PARTS:  # thousands of parts would take minutes
            refuse(file, id, f"its picture is {shown(name, 80)!r}, which is too long a name")
        try:
            inside(self._folder, name)
            found = self._found(parts, lines)
        except BadFile as broken:
            refuse(file, id, f"its picture is {shown(name, 80)!r}, which {broken}")
        if found is None:
            refuse(file, id, f"its picture {shown(name, 80)!r} does not exist below the folder of {file}")
        return found

    def _found(self, parts: Sequence[str], lines: str) -> Path | None:
        known = self._dropped.get(lines)
        for dropped in range(len(parts)) if known is None else [known]:
            path = inside(self._folder, PurePosixPath(*parts[dropped:]).as_posix())
            if dropped < len(parts) and is_file(path):
                self._dropped[lines] = dropped
                return path
        return None


def picture_bytes(path: Path, file: str, id: str) -> bytes:
    """The bytes of a picture; refused if it cannot be read or is too large."""
    try:
        return read_bytes(path, PICTURE_BYTES)
    except BadFile as broken:
        refuse(file, id, f"its picture {path.name!r} {broken}")


def annotated_golds(path: Path) -> dict[str, list[str]]:
    """The right answers of a file of annotations, by question id; EnvironmentProblem when it cannot be understood.

    Either `annotations` with `question_id` and `answers` of objects with `answer`, as TextVQA has them, or `data` with
    `questionId` and `answers` of texts, as DocVQA and InfographicVQA have them.
    """
    try:
        content = read_json(path, _ANNOTATIONS_BYTES)
    except BadFile as broken:
        raise EnvironmentProblem(f"{shown(path)} {broken}") from None
    entries = content.get("annotations", content.get("data")) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise EnvironmentProblem(f"{path.name} has neither annotations nor data: this is not a file of annotations")
    golds: dict[str, list[str]] = {}
    for number, entry in enumerate(entries, start=1):
        id, texts = _golds_of(entry) if isinstance(entry, Mapping) else (None, None)
        if id is None or texts is None:
            raise EnvironmentProblem(f"{path.name}: entry {number} has no id of a question or no list of answers")
        if id in golds:
            raise EnvironmentProblem(f"{path.name}: question {shown(id, 80)} is there twice")
        golds[id] = texts
    return golds


def _golds_of(entry: Mapping[str, Any]) -> tuple[str | None, list[str] | None]:
    id = entry.get("question_id", entry.get("questionId"))
    answers = entry.get("answers")
    if not isinstance(answers, list) or isinstance(id, bool) or not isinstance(id, (int, str)):
        return None, None
    given = [answer.get("answer") if isinstance(answer, Mapping) else answer for answer in answers]
    texts = [text for text in given if isinstance(text, str)]
    return str(id), texts if len(texts) == len(given) else None
