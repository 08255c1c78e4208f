"""The answers file of a run: what makes its answers comparable in line 1, then one JSON line an answer."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.item import ANSWERED, LOST, REFUSED, Answer
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.text import trimmed

_FIELDS = tuple(field.name for field in fields(Answer))
_SHOWN = 80
_ABSENT = object()
_MOST = 1 << 53  # of tokens or of seconds: no number that is written with thousands of digits
Mask = Callable[[str], str]
# what an endpoint said; everything else in a line is a name, an id or a number of ours
_SAID = ("text", "error", "model")
# keys of an identity whose values name something and hold no secret, however short a key is
_NAMES = frozenset({"benchmark", "part", "dataset", "protocol", "engine", "name", "id", "sha256"})
_SECTIONS = ("data", "prompts", "profile", "profile.model", "target")
_NAMED = ("data.dataset", "data.sha256", "prompts.protocol", "prompts.sha256", "profile.name", "profile.model.id")


class AnswerFile:
    """An answers file that is being written. Each answer is one whole line, in the file when `add` returns.

    Make it with `create` or `resume`. `kept` holds the ids taken over from an earlier run. Not for two threads.
    """

    def __init__(self, path: Path, kept: frozenset[str], mask: Mask) -> None:
        self.path = path
        self.kept = kept
        self._mask = mask
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    @classmethod
    def create(cls, path: Path, identity: Mapping[str, Any], mask: Mask = str) -> AnswerFile:
        """A new file; it appears with its identity or not at all. UsageProblem when the path is taken."""
        if path.exists():
            raise UsageProblem(f"{path} exists already, and answers are never overwritten")
        _appear(path, [_first_line(identity, mask)])
        return cls(path, frozenset(), mask)

    @classmethod
    def resume(
        cls,
        old: Path,
        new: Path,
        identity: Mapping[str, Any],
        mask: Mask = str,
        hashes: Mapping[str, str] | None = None,
    ) -> AnswerFile:
        """A file that begins with every whole answer of `old`, which may be `new` itself.

        What was refused or lost is left out, to be asked again. UsageProblem names every key of the identity that
        differs, a line that is none of ours, or one that answers no prompt of `hashes` (SHA-256 by id).
        """
        require_same(old, identity, mask=mask)
        kept: set[str] = set()
        _appear(new, _taken_over(old, _first_line(identity, mask), kept, hashes))
        return cls(new, frozenset(kept), mask)

    def add(self, answer: Answer) -> None:
        """Write one answer; EnvironmentProblem when the line does not fit on the disk, and nothing of it is left."""
        row = {name: getattr(answer, name) for name in _FIELDS}
        row |= {name: self._mask(row[name]) for name in _SAID if row[name] is not None}
        row["attempts"] = [self._mask(reason) for reason in answer.attempts]
        line = _line(row)
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
    """What makes the answers of a file comparable; UsageProblem when it is no answers file.

    Its data, prompts, profile and target are objects where they are there, and what they name are texts.
    """
    _, line = next(_whole_lines(path), (1, b""))
    try:
        identity = json.loads(line)["identity"]
    except (ValueError, KeyError, TypeError, RecursionError):
        identity = None
    if not isinstance(identity, dict):
        raise UsageProblem(f"{path} is no answers file: line 1 holds no identity")
    for kind, word, places in ((dict, "object", _SECTIONS), (str, "text", _NAMED)):
        for place in places:
            value = _at(identity, place)
            if value is not _ABSENT and not isinstance(value, kind):
                raise UsageProblem(f"{path} is no answers file: {place} of its identity is no {word}: {_shown(value)}")
    return identity


def _at(identity: dict[str, Any], place: str) -> Any:
    value: Any = identity
    for key in place.split("."):
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value


def require_same(old: Path, identity: Mapping[str, Any], ignore: Collection[str] = (), mask: Mask = str) -> None:
    """UsageProblem naming every key of the identity that differs from the file's; `ignore` are top-level keys.

    `mask` is that of the file's writer.
    """
    stored = {key: value for key, value in read_identity(old).items() if key not in ignore}
    wanted = {key: value for key, value in _written(identity, mask).items() if key not in ignore}
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
    except (ValueError, KeyError, TypeError, RecursionError) as broken:
        raise UsageProblem(f"{path}: line {number} is no answer ({type(broken).__name__}: {broken!s:.80})") from None
    wrong = [name for name, is_right in _RIGHT.items() if not is_right(known[name])]
    if not wrong and (known["status"] == ANSWERED) != (known["text"] is not None):
        wrong = ["text"]
    if wrong:
        shown = ", ".join(f"{name} is {_shown(known[name])}" for name in wrong)
        raise UsageProblem(f"{path}: line {number} is no answer: {shown}")
    return Answer(**{**known, "attempts": tuple(known["attempts"]), "pictures": tuple(known["pictures"])})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_count_or_none(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value < _MOST)


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_RIGHT: dict[str, Callable[[object], bool]] = {
    "id": _is_text,
    "status": lambda value: value in (ANSWERED, REFUSED, LOST),
    "text": _is_text_or_none,
    "finish_reason": _is_text_or_none,
    "prompt_tokens": _is_count_or_none,
    "completion_tokens": _is_count_or_none,
    "error": _is_text,
    "http_status": _is_count_or_none,
    "started_utc": _is_text,
    "elapsed_s": _is_seconds,
    "attempts": _are_texts,
    "prompt_sha256": _is_text,
    "pictures": _are_texts,
    "model": _is_text_or_none,
}


def _taken_over(old: Path, first: bytes, kept: set[str], hashes: Mapping[str, str] | None) -> Iterator[bytes]:
    yield first
    for number, line in _whole_lines(old):
        if number == 1:
            continue
        answer = _answer(old, number, line)
        if hashes is not None and hashes.get(answer.id) != answer.prompt_sha256:
            why = "another prompt than this run's" if answer.id in hashes else "no question of this run"
            shown = trimmed(answer.id, _SHOWN)
            raise UsageProblem(f"{old} cannot be resumed: line {number} ({shown}) answers {why}")
        if answer.status == ANSWERED and answer.id not in kept:
            kept.add(answer.id)
            yield line


def _first_line(identity: Mapping[str, Any], mask: Mask) -> bytes:
    return _line({"identity": _written(identity, mask)})


def _written(identity: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """The identity as it comes back from a file: in JSON's own types, with every text masked that is no name."""
    written: dict[str, Any] = _masked(json.loads(json.dumps(dict(identity), ensure_ascii=True, default=str)), mask)
    return written


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, dict):
        is_name = {key: key in _NAMES and isinstance(inner, str) for key, inner in value.items()}
        return {key: inner if is_name[key] else _masked(inner, mask) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, mask) for inner in value]
    return mask(value) if isinstance(value, str) else value


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode("ascii") + b"\n"


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
    finally:
        with contextlib.suppress(OSError):  # it is there only when something went wrong
            partial.unlink()


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
