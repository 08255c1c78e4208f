"""Random choices that a seed decides: a run with the same seed sends the same requests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Random choices that a seed decides, the same in every version of Python: only `random()` is promised to be so."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(f"vlm-acceptance {seed}").random  # noqa: S311  # a draw to be repeated, no secret

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit - 1`."""
        return int(self._random() * limit)

    def one(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.below(len(values))]

    def some(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different ones of the values, in random order."""
        left = list(values)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def number(self, digits: int) -> str:
        """A number of so many digits."""
        return str(10 ** (digits - 1) + self.below(9 * 10 ** (digits - 1)))

    def hex(self, size: int) -> str:
        """A text of `size` hexadecimal digits."""
        return "".join(self.one("0123456789abcdef") for _ in range(size))
