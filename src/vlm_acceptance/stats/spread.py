"""A sample of rows that is the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(rows: Sequence[T], count: int) -> list[T]:
    """At most `count` of the rows, evenly spread, the first among them."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]
