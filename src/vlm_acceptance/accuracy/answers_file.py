"""The answers file of a run: line 1 is its identity (data, prompts, profile, target), each other one answer in JSON."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vlm_acceptance.accuracy.item import ANSWERED, Answer
from vlm_acceptance.config.yaml_file import first_error
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import BadFile, parse_json, read_lines
from vlm_acceptance.core.text import trimmed

_FIELDS = tuple(field.name for field in fields(Answer))
_SHOWN = 80
_ABSENT = object()
Mask = Callable[[str], str]
# fields that come from the endpoint and may hold a secret; all other fields are names, ids or numbers of our own
_FROM_ENDPOINT = ("text", "error", "model")
# keys of an identity whose texts are names, which a short secret must not change
_NAMES = frozenset({"benchmark", "part", "dataset", "protocol", "engine", "name", "id", "sha256"})
_SECTIONS = ("data", "prompts", "profile", "profile.model", "target")
_TEXTS = ("data.dataset", "data.sha256", "prompts.protocol", "prompts.sha256", "profile.name", "profile.model.id")
_IDENTITY_TYPES = {**dict.fromkeys(_SECTIONS, (dict, "an object")), **dict.fromkeys(_TEXTS, (str, "a text"))}


class AnswerFile:
    """A file open for writing, by `create` or `resume`; `kept` are ids of earlier answers. Not for two threads."""

    def __init__(self, path: Path, kept: frozenset[str], mask: Mask) -> None:
        self.path = path
        self.kept = kept
        self._mask = mask
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    @classmethod
    def create(cls, path: Path, identity: Mapping[str, Any], mask: Mask = str) -> AnswerFile:
        """A new file, with its identity or not there at all. UsageProblem when the path exists."""
        if path.exists():
            raise UsageProblem(f"{path} exists already, and answers are never overwritten")
        _write_whole(path, [_line({"identity": _written(identity, mask)})])
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
        """A file that begins with the answers of `old`, which may be `new` itself.

        Refused and lost questions are left out, so that they are sent again. UsageProblem: a key of the identity
        differs, a line is not a valid answer, or it answers another prompt than that in `hashes` (SHA-256 by id).
        """
        require_same(old, identity, mask=mask)
        kept: set[str] = set()
        first = _line({"identity": _written(identity, mask)})
        _write_whole(new, itertools.chain([first], _resumed_lines(old, kept, hashes)))
        return cls(new, frozenset(kept), mask)

    def add(self, answer: Answer) -> None:
        """Write one answer; EnvironmentProblem when the disk is full, and no part of the line is left in the file."""
        row = {name: getattr(answer, name) for name in _FIELDS}
        row |= {name: self._mask(row[name]) for name in _FROM_ENDPOINT if row[name] is not None}
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
    """The identity and the last answer of each id; UsageProblem names a line that is not valid."""
    return read_identity(path), {answer.id: answer for answer in answers(path)}


def read_identity(path: Path) -> dict[str, Any]:
    """The identity in line 1; UsageProblem when there is none, or a part of it has another type than we write."""
    _, line = next(_whole_lines(path), (1, b""))
    try:
        identity = parse_json(line)["identity"]
    except (ValueError, KeyError, TypeError):
        identity = None
    if not isinstance(identity, dict):
        raise UsageProblem(f"{path} is not an answers file: line 1 holds no identity")
    for place, (kind, expected) in _IDENTITY_TYPES.items():
        value: Any = identity
        for key in place.split("."):
            value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is not _ABSENT and not isinstance(value, kind):
            problem = f"line 1: {place} of the identity is {_shown(value)}, expected {expected}"
            raise UsageProblem(f"{path} is not an answers file: {problem}")
    return identity


def require_same(old: Path, identity: Mapping[str, Any], ignore: Collection[str] = (), mask: Mask = str) -> None:
    """UsageProblem naming each key of the identity that differs from the file's; top-level keys in `ignore` may."""
    stored = {key: value for key, value in read_identity(old).items() if key not in ignore}
    wanted = {key: value for key, value in _written(identity, mask).items() if key not in ignore}
    if differences := _differences(stored, wanted):
        raise UsageProblem(f"{old} cannot be resumed: {'; '.join(differences)}")


def answers(path: Path) -> Iterator[Answer]:
    """All answers in the order written, one at a time in memory; an incomplete last line is ignored."""
    for number, line in itertools.islice(_whole_lines(path), 1, None):
        yield _answer(path, number, line)


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        for number, line in read_lines(path):
            # a killed run may leave half a line at the end
            if line.endswith(b"\n"):
                yield number, line
    except BadFile as broken:
        raise UsageProblem(f"{path} {broken}") from None


@cache
def _rows() -> TypeAdapter[Answer]:  # not built at import, where collecting the tests would wait for it
    return TypeAdapter(Answer)


def _answer(path: Path, number: int, line: bytes) -> Answer:
    try:
        # not pydantic's own JSON parser: it refuses lone surrogates, which an endpoint may send
        answer = _rows().validate_python(parse_json(line))
        if (answer.status == ANSWERED) == (answer.text is not None):
            return answer
        problem = f"text is {_shown(answer.text)}, though status is {answer.status!r}"
    except ValidationError as broken:
        problem = first_error(broken, Answer)[1]
    except BadFile as broken:
        problem = f"it {broken}"
    raise UsageProblem(f"{path}: line {number} is not a valid answer: {problem}")


def _resumed_lines(old: Path, kept: set[str], hashes: Mapping[str, str] | None) -> Iterator[bytes]:
    for number, line in itertools.islice(_whole_lines(old), 1, None):
        answer = _answer(old, number, line)
        if hashes is not None and hashes.get(answer.id) != answer.prompt_sha256:
            what = "another prompt than this run's" if answer.id in hashes else "no question of this run"
            raise UsageProblem(f"{old} cannot be resumed: line {number} ({_shown(answer.id)}) answers {what}")
        if answer.status == ANSWERED and answer.id not in kept:
            kept.add(answer.id)
            yield line


def _written(identity: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """The identity as it is read back from a file: in JSON's types, with all texts masked but names."""
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


def _write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file so that it is there completely or not at all."""
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
        with contextlib.suppress(OSError):  # only after an error it is still there
            partial.unlink()


def _differences(old: object, new: object, where: str = "") -> list[str]:
    """'key was X, is Y' for each leaf that differs, keys as dotted paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        places = {key: f"{where}.{key}" if where else key for key in sorted(old.keys() | new.keys())}
        found = (_differences(old.get(key, _ABSENT), new.get(key, _ABSENT), place) for key, place in places.items())
        return [*itertools.chain.from_iterable(found)]
    return [] if old == new else [f"{where} was {_shown(old)}, is {_shown(new)}"]


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else trimmed(value, _SHOWN)
