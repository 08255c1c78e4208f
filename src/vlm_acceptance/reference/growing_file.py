"""A reference file that grows group by group; after a kill at any moment it goes on where whole groups end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, parse_json, shown
from vlm_acceptance.core.logprobs import LogProbPrompt
from vlm_acceptance.core.reference import KEY, Origin
from vlm_acceptance.core.reference_file import is_about, origin_line, origin_of
from vlm_acceptance.reference.held_file import HeldFile

# in this order; not the name of the folder, whose files are compared
COMPARED = ("route", "arithmetic", "form", "top", "group", "files", "versions", "code")
MOST_SHOWN = 40
_START = f'{{"{KEY}": '.encode()


class GrowingFile:
    """The file of these prompts, open for one process; UsageProblem when it cannot be written, or holds others."""

    def __init__(self, path: Path, origin: Origin, prompts: Sequence[LogProbPrompt]) -> None:
        self._path, self._origin, self._prompts = path, origin, prompts
        self._held = HeldFile(path, "--out: ", create=True)
        try:
            self.rows, end = self._stored()
            self._held.file.truncate(end)
            self._held.file.seek(end)
        except BaseException:
            self._held.close()
            raise

    @property
    def is_whole(self) -> bool:
        """Whether every prompt has its row."""
        return self.rows == len(self._prompts)

    def append(self, lines: Sequence[str]) -> None:
        """Write rows, the first ones behind the file's first line, and wait until they are on the disk."""
        # the first line comes with the first rows: a model that is refused leaves nothing behind
        whole = lines if self.rows else [origin_line(self._origin), *lines]
        self._held.write("".join(f"{line}\n" for line in whole).encode())
        self.rows += len(lines)

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _stored(self) -> tuple[int, int]:
        """How many rows of whole groups are stored, and at which byte they end; what is behind is dropped."""
        content = self._held.file.read()
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)  # a torn last line is dropped
        if not lines:
            self._require_torn_start(content)
            return 0, 0
        first = _value(self._path, 1, lines[0])
        if len(lines) == 1 and KEY in first:
            return 0, 0  # no row is lost, whatever it was to hold
        self._require_same(first)
        ends = [len(lines[0])]
        for number, line in enumerate(lines[1:], 2):
            value = _value(self._path, number, line)
            if is_about(value):
                if len(ends) > len(self._prompts):
                    return len(self._prompts), len(b"".join(lines))  # power was measured, too
                break  # power was measured too early: of other rows than there will be
            self._require_row(number, value, len(ends) - 1)
            ends.append(ends[-1] + len(line))
        stored = len(ends) - 1
        if stored < len(self._prompts):
            stored -= stored % max(1, self._origin.group)
        return stored, ends[stored] if stored else 0

    def _require_torn_start(self, content: bytes) -> None:
        if not content.startswith(_START) and not _START.startswith(content):
            raise _foreign(self._path)

    def _require_same(self, row: Mapping[str, Any]) -> None:
        if not is_about(row) or KEY not in row:
            raise _foreign(self._path)
        known = asdict(origin_of(row, f"{shown(self._path)}, line 1"))
        asked = asdict(self._origin)
        for key in COMPARED:
            if known[key] != asked[key]:
                raise _other(self._path, *_difference(key, known[key], asked[key]))

    def _require_row(self, number: int, row: Mapping[str, Any], place: int) -> None:
        if place >= len(self._prompts):
            raise _other(self._path, "prompts", f"more than {place}", str(len(self._prompts)))
        for key, value in asdict(self._prompts[place]).items():
            stored = row.get(key)
            if (tuple(stored) if isinstance(stored, list) else stored) != value:
                raise _other(self._path, f"{key} of line {number}", _brief(stored), _brief(value))


def _value(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        value = parse_json(line)
    except BadFile:
        value = None
    if not isinstance(value, dict):
        if number == 1:
            raise _foreign(path)
        raise UsageProblem(f"--out: {shown(path)}, line {number} is damaged: remove the file, or name another one")
    return value


def _foreign(path: Path) -> UsageProblem:
    return UsageProblem(f"--out: {shown(path)} exists and is no reference; it is not overwritten")


def _other(path: Path, key: str, stored: str, asked: str) -> UsageProblem:
    return UsageProblem(
        f"--out: {shown(path)} was recorded with {key} {stored}, and now it is {asked}: name another file, or remove it"
    )


def _difference(key: str, known: Any, value: Any) -> tuple[str, str, str]:
    """The first thing that differs: its name, the stored value, the asked one."""
    if isinstance(value, dict):
        name = next(name for name in sorted({**known, **value}) if known.get(name) != value.get(name))
        return f"{key}.{name}", _brief(known.get(name, "absent")), _brief(value.get(name, "absent"))
    return key, _brief(known), _brief(value)


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown(text[:MOST_SHOWN])
