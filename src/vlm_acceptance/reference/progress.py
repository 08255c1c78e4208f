"""How far a long computation is, on standard error: one line rewritten on a terminal, else a line each 30 s."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.reference.told import drop

MINUTE, HOUR = 60, 3600


class Progress:
    """Counts what is done of `total` and says how long the rest takes at the speed so far."""

    def __init__(
        self,
        what: str,
        total: int,
        *,
        out: TextIO | None = None,
        every_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out or sys.stderr
        self._tty = self._out.isatty()
        self._what, self._total, self._first, self._done = what, total, 0, 0
        self._every_s, self._clock = every_s, clock
        self._began = self._last = clock()
        self._width = 0

    def start(self, done: int) -> Progress:
        """The computation begins now, with so many done before."""
        self._first = self._done = done
        self._began = self._last = self._clock()
        return self

    def __call__(self, done: int) -> None:
        """So many are done now."""
        self._done = done
        now = self._clock()
        if self._tty or now - self._last >= self._every_s:
            self._last = now
            self._write(f"{self._what}: {done} of {self._total}{self._left(now)}")

    def say(self, text: str) -> None:
        """A state without a number, such as what is being loaded; shown on a terminal only."""
        if self._tty:
            self._write(text)

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._tty and self._width:
            self._out.write("\n")
            self._out.flush()
            self._width = 0

    def _left(self, now: float) -> str:
        computed, left = self._done - self._first, self._total - self._done
        if computed <= 0 or left <= 0:
            return ""
        return f", {duration((now - self._began) / computed * left)} left"

    def _write(self, text: str) -> None:
        line = printable(tr(text))
        try:
            self._out.write(f"\r{line.ljust(self._width)}" if self._tty else f"{line}\n")
            self._out.flush()
        except OSError:  # nobody reads it any more; hours of computation go on
            drop(self._out)
        self._width = len(line) if self._tty else 0


def duration(seconds: float) -> str:
    """A time that is left, in the unit that fits."""
    if seconds < MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < HOUR:
        return f"{round(seconds / MINUTE)} min"
    return f"{seconds / HOUR:.1f} h"
