"""Reads JSON of the deployment and of files, and compares figures, so that what is no finite number never passes.

Python reads NaN, Infinity and 1e999, which JSON does not have; and `nan > limit` is false, so it looks like a figure
within its limit. Whatever judges a figure uses `is_at_most` and `is_at_least`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any, TypeGuard

from vlm_acceptance.core.text import trimmed

# more digits than a 64-bit integer has
_MOST_DIGITS = 20
_SHOWN = 40
_KEY_SHOWN = 60


class BadNumber(ValueError):
    """JSON in which a number is none: NaN, an infinity, or one too large; the text names it and its JSON path."""


class _Odd:
    """A number that is none, as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text


def read_json(text: str | bytes) -> Any:
    """The JSON value of a text, UTF-8 if it is bytes. BadNumber names a number that is none and where it is.

    ValueError for everything else that cannot be read, also for what is nested too deep.
    """
    try:
        value, odd = _decoded(text.decode("utf-8") if isinstance(text, bytes) else text)
        if not odd:
            return value
        path = _path_of(value, odd[0])
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    raise BadNumber(f"{odd[0].text[:_SHOWN]} at {path} is not a number of JSON")


def _decoded(text: str) -> tuple[Any, list[_Odd]]:
    odd: list[_Odd] = []

    def is_none(written: str) -> _Odd:
        odd.append(_Odd(written))
        return odd[-1]

    def whole(written: str) -> int | _Odd:
        return int(written) if len(written) <= _MOST_DIGITS else is_none(written)

    def real(written: str) -> float | _Odd:
        value = float(written)
        return value if math.isfinite(value) else is_none(written)

    return json.loads(text, parse_constant=is_none, parse_int=whole, parse_float=real), odd


def _path_of(value: Any, wanted: _Odd) -> str:
    """The JSON path of a part of a value; `$` if it is not found, as of two keys with one name the last one is read."""
    waiting = [("$", value)]
    while waiting:
        path, part = waiting.pop()
        if part is wanted:
            return path
        if isinstance(part, dict):
            waiting += [(f"{path}.{trimmed(key[:_KEY_SHOWN])[1:-1]}", child) for key, child in part.items()]
        elif isinstance(part, list):
            waiting += [(f"{path}[{number}]", child) for number, child in enumerate(part)]
    return "$"


def is_figure(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number that is no truth value and fits a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def figure(value: object) -> float:
    """The value as a float; ValueError when it is no figure."""
    if not is_figure(value):
        raise ValueError(f"{trimmed(value, _SHOWN)} is not a finite number")
    return float(value)


def is_at_most(value: object, limit: float) -> bool:
    """Whether a value is a figure and no more than the limit."""
    return is_figure(value) and value <= limit


def is_at_least(value: object, limit: float) -> bool:
    """Whether a value is a figure and no less than the limit."""
    return is_figure(value) and value >= limit


def middle(values: Iterable[float]) -> float:
    """The median; NaN if a value is no figure. ValueError without values."""
    seen = list(values)
    return median(seen) if all(map(is_figure, seen)) else math.nan


def mean(values: Sequence[float]) -> float:
    """The mean; NaN if a value is no figure or their sum is none, infinite without values."""
    if not values:
        return math.inf
    try:
        return fmean(values) if all(map(is_figure, values)) else math.nan
    except OverflowError:
        return math.nan


def largest(values: Sequence[float]) -> float:
    """The largest value; NaN if a value is no figure, infinite without values."""
    if not values:
        return math.inf
    return max(values) if all(map(is_figure, values)) else math.nan
