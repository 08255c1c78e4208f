"""The answers file of a run: what makes its answers comparable in line 1, then one JSON line an answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vlm_acceptance.benchmark.item import ANSWERED, LOST, REFUSED, Answer
from vlm_acceptance.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.outcome import trimmed

_FIELDS = tuple(field.name for field in fields(Answer))
_SHOWN = 80
_ABSENT = object()


class AnswerFile:
    """An answers file that is being written. Each answer is one whole line, in the file when `add` returns.

    Make it with `create` or `resume`. `kept` holds the ids taken over from an earlier run. Not for two threads.
    """

    def __init__(self, path: Path, kept: frozenset[str], mask: Callable[[str], str]) -> None:
        self.path = path
        self.kept = kept
        self._mask = mask
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    @classmethod
    def create(cls, path: Path, identity: Mapping[str, Any], mask: Callable[[str], str] = str) -> AnswerFile:
        """A new file; it appears with its identity or not at all. UsageProblem when the path is taken."""
        if path.exists():
            raise UsageProblem(f"{path} exists already, and answers are never overwritten")
        _appear(path, [_first_line(identity, mask)])
        return cls(path, frozenset(), mask)

    @classmethod
    def resume(cls, old: Path, new: Path, identity: Mapping[str, Any], mask: Callable[[str], str] = str) -> AnswerFile:
        """A file that begins with every whole answer of `old`, which may be `new` itself.

        What was refused or lost is left out, to be asked again. UsageProblem names every key of the identity that
        differs, or says that `old` is no answers file.
        """
        first = _first_line(identity, mask)
        require_same(old, json.loads(first)["identity"])
        kept: set[str] = set()
        _appear(new, _taken_over(old, first, kept))
        return cls(new, frozenset(kept), mask)

    def add(self, answer: Answer) -> None:
        """Write one answer; EnvironmentProblem when the line does not fit on the disk, and nothing of it is left."""
        row = {name: getattr(answer, name) for name in _FIELDS}
        line = self._mask(json.dumps(row, ensure_ascii=True)).encode("ascii", "backslashreplace") + b"\n"
        before = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as broken:
            os.ftruncate(self._file, before)
            raise EnvironmentProblem(f"{self.path} cannot be written: {broken.strerror}") from broken

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read(path: Path) -> tuple[dict[str, Any], dict[str, Answer]]:
    """The identity and the last answer of every id; UsageProblem names the line that is none of ours."""
    return read_identity(path), {answer.id: answer for answer in answers(path)}


def read_identity(path: Path) -> dict[str, Any]:
    """What makes the answers of a file comparable; UsageProblem when it is no answers file."""
    _, line = next(_whole_lines(path), (1, b""))
    try:
        identity = json.loads(line)["identity"]
    except (ValueError, KeyError, TypeError, RecursionError):
        identity = None
    if not isinstance(identity, dict):
        raise UsageProblem(f"{path} is no answers file: line 1 holds no identity")
    return identity


def require_same(old: Path, identity: Mapping[str, Any], ignore: Collection[str] = ()) -> None:
    """UsageProblem naming every key of the identity that differs from the file's; `ignore` are top-level keys."""
    stored = {key: value for key, value in read_identity(old).items() if key not in ignore}
    wanted = {key: value for key, value in identity.items() if key not in ignore}
    differences = _differences(stored, wanted)
    if differences:
        raise UsageProblem(f"{old} cannot be resumed: {'; '.join(differences)}")


def answers(path: Path) -> Iterator[Answer]:
    """Every answer in the order written, one at a time in memory; a torn last line is no answer."""
    for number, line in _whole_lines(path):
        if number > 1:
            yield _answer(path, number, line)


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                # a killed run may leave half a line, at the end only
                if line.endswith(b"\n"):
                    yield number, line
    except OSError as broken:
        raise UsageProblem(f"{path} cannot be read: {broken.strerror}") from None


def _answer(path: Path, number: int, line: bytes) -> Answer:
    try:
        row = json.loads(line)
        known = {name: row[name] for name in _FIELDS}
        answer = Answer(**{**known, "attempts": tuple(known["attempts"]), "pictures": tuple(known["pictures"])})
    except (ValueError, KeyError, TypeError, RecursionError) as broken:
        raise UsageProblem(f"{path}: line {number} is no answer ({type(broken).__name__}: {broken!s:.80})") from None
    is_text = isinstance(answer.text, str) if answer.status == ANSWERED else answer.text is None
    if not isinstance(answer.id, str) or answer.status not in (ANSWERED, REFUSED, LOST) or not is_text:
        raise UsageProblem(f"{path}: line {number} is no answer: {trimmed(line, _SHOWN)}")
    return answer


def _taken_over(old: Path, first: bytes, kept: set[str]) -> Iterator[bytes]:
    yield first
    for number, line in _whole_lines(old):
        if number == 1:
            continue
        answer = _answer(old, number, line)
        if answer.status == ANSWERED and answer.id not in kept:
            kept.add(answer.id)
            yield line


def _first_line(identity: Mapping[str, Any], mask: Callable[[str], str]) -> bytes:
    text = mask(json.dumps({"identity": dict(identity)}, ensure_ascii=True, default=str))
    return text.encode("ascii", "backslashreplace") + b"\n"


def _appear(path: Path, lines: Iterator[bytes] | list[bytes]) -> None:
    """Write a file that is seen whole or not at all."""
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as broken:
        raise EnvironmentProblem(f"{path} cannot be written: {broken.strerror}") from broken


def _differences(old: object, new: object, where: str = "") -> list[str]:
    """'key was X, is Y' for every leaf that differs, keys as dotted paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in sorted(old.keys() | new.keys()):
            place = f"{where}.{key}" if where else key
            found += _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), place)
        return found
    return [] if old == new else [f"{where} was {_shown(old)}, is {_shown(new)}"]


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else trimmed(value, _SHOWN)
