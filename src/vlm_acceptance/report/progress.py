"""Progress for a terminal and for a CI log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import columns_of, printable

# a terminal whose width is not known; of a CI log, which may wrap lines
TERMINAL_COLUMNS, LOG_COLUMNS = 100, 240
# a log of hours must stay readable: the time between two lines grows with that of the run, up to so many seconds
SHARE, LONGEST_S = 0.5, 600.0


class Screen(Protocol):
    """Where progress is shown; a text is shown as soon as it is written. `column`: where others wrote last."""

    def isatty(self) -> bool: ...
    def write(self, text: str) -> object: ...
    def column(self) -> int: ...


class Progress:
    """One rewritten line on a terminal; elsewhere whole lines, first every `every_s` seconds. None is cut without `…`.

    Secrets are masked in texts, not in what moves the cursor.
    """

    def __init__(
        self,
        out: Screen,
        *,
        every_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        mask: Callable[[str], str] = str,
        columns: Callable[[], int] | None = None,
    ) -> None:
        self._out = out
        self._mask = mask
        self._tty = out.isatty()
        self._columns = columns or terminal_columns
        self._every_s = every_s
        self._clock = clock
        self._began = self._last_at = clock()
        self._column = 0
        self._is_rewritten = False

    def __call__(self, text: str) -> None:
        """Show a state; without a terminal most states are left out."""
        clean = tr(" ".join(printable(self._mask(text)).split()))
        if self._tty:
            self._out.write(f"{self._lead()}{cut_to(clean, self._columns() - 1)}")
            self._is_rewritten = True
        elif self._clock() - self._last_at >= self._pause_s():
            self._line(cut_to(clean, LOG_COLUMNS))

    def _pause_s(self) -> float:
        return max(self._every_s, min(SHARE * (self._last_at - self._began), LONGEST_S))

    def line(self, text: str) -> None:
        """Show a line that stays."""
        self._line(tr(printable(self._mask(text))))

    def _line(self, text: str) -> None:
        self._out.write(f"{self._lead()}{text}\n")
        self._is_rewritten = False
        self._last_at = self._clock()

    def _lead(self) -> str:
        """What brings the cursor to the beginning of a line that holds nothing of others."""
        column, self._column = self._column, self._out.column()
        if self._column not in (0, column):  # somebody else has begun a line since, such as pytest with its dots
            return "\n"
        return "\r\x1b[K" if self._tty and self._is_rewritten else ""


class StageProgress:
    """Progress of one stage: its name, the time since it began, the time left by the last run, what it waits for."""

    def __init__(
        self,
        name: str,
        show: Callable[[str], None],
        last_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._show = show
        self._last_s = last_s
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        """The time since the stage began."""
        return self._clock() - self._began

    def __call__(self, waits_for: str) -> None:
        """Show the stage and what it waits for."""
        self._show(f"{self._name}, {duration(self.seconds)}{self._left()}: {waits_for}")

    def _left(self) -> str:
        if self._last_s is None:
            return ""
        left_s = self._last_s - self.seconds
        return f", about {duration(left_s)} left" if left_s >= 1 else f", {duration(self._last_s)} in the last run"


def duration(seconds: float) -> str:
    """`21 s`, `2 min 05 s` or `1 h 02 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def cut_to(text: str, columns: int) -> str:
    """The text, or its beginning and `…`, in so many columns of a terminal."""
    used = 0
    for place, char in enumerate(text):
        used += columns_of(char)
        if used > columns or (used == columns and place + 1 < len(text)):
            return f"{text[:place]}…"
    return text


def terminal_columns() -> int:
    """The width of the terminal of this process, also while pytest captures its streams."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return TERMINAL_COLUMNS
    try:
        return os.get_terminal_size(terminal).columns or TERMINAL_COLUMNS
    except OSError:
        return TERMINAL_COLUMNS
    finally:
        os.close(terminal)
