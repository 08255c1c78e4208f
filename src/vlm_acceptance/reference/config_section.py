"""Values of a checkpoint's config.json; each error is one line that names key, value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import JSON_BYTES, BadFile, read_bytes, shown

MOST = 1 << 31
OTHER_ROUTE = "--route transformers may serve this model"


def read_object(path: Path, most: int = JSON_BYTES) -> Mapping[str, Any]:
    """The JSON object of a file; UsageProblem if it is absent or anything else."""
    try:
        value = json.loads(read_bytes(path, most))
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None
    except (ValueError, RecursionError) as broken:
        raise UsageProblem(f"{shown(path)} is not valid JSON: {shown(broken, 120)}") from None
    if not isinstance(value, dict):
        raise UsageProblem(f"{shown(path)} is not a JSON object")
    return value


def stands(path: Path) -> bool:
    """Whether there is a file; UsageProblem when it, or its folder, may not be looked at."""
    try:
        return path.is_file()
    except OSError as broken:
        raise UsageProblem(f"{shown(path)} cannot be read: {broken.strerror}") from None


@dataclass(frozen=True, slots=True)
class Section:
    """One object of the file, and the keys that lead to it."""

    path: Path
    values: Mapping[str, Any]
    place: str = ""

    def get(self, key: str) -> Any:
        """The value as it stands, or None."""
        return self.values.get(key)

    def section(self, key: str) -> Section:
        """An object below this one."""
        value = self._value(key, None)
        if not isinstance(value, dict):
            raise self.refused(key, "an object")
        return Section(self.path, value, f"{self.place}{key}.")

    def whole(self, key: str, default: int | None = None) -> int:
        """A number of things, 1 or more."""
        value = self.integer(key, default)
        if value < 1:
            raise self.refused(key, "a whole number from 1")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of either sign."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= MOST:
            raise self.refused(key, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise self.refused(key, "a number above 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refused(key, "true or false")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of these words."""
        value = self._value(key, default)
        if value not in allowed:
            hint = nearest(value, allowed) if isinstance(value, str) else ""
            raise self.refused(key, f"{' or '.join(allowed)}{'.' + hint if hint else ''}")
        return str(value)

    def refused(self, key: str, allowed: str) -> UsageProblem:
        """The error of a value that the own route does not compute."""
        value = json.dumps(self.values.get(key), ensure_ascii=False)
        value = value if len(value) <= 80 else f"{value[:80]}…"
        return UsageProblem(
            f"{shown(self.path)}: {self.place}{key} is {value}, but --route own takes {allowed}; {OTHER_ROUTE}"
        )

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if value is None and default is None:
            raise UsageProblem(f"{shown(self.path)} has no {self.place}{key}; {OTHER_ROUTE}")
        return default if value is None else value
