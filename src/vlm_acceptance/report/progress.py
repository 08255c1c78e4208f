"""Progress for a terminal and for a CI log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from vlm_acceptance.core.text import printable


class Screen(Protocol):
    """Where progress is shown; a text is shown as soon as it is written."""

    def isatty(self) -> bool: ...
    def write(self, text: str) -> object: ...


class Progress:
    """One rewritten line on a terminal; elsewhere one line when the stage changes or every `every_s` seconds.

    Secrets are masked in texts, not in what moves the cursor.
    """

    def __init__(
        self,
        out: Screen,
        *,
        every_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._out = out
        self._mask = mask
        self._tty = out.isatty()
        self._every_s = every_s
        self._clock = clock
        self._last_at: float | None = None

    def __call__(self, text: str) -> None:
        """Show a state; without a terminal most states are left out."""
        clean = printable(self._mask(text)).replace("\n", " ").replace("\t", " ")
        if self._tty:
            self._out.write(f"\r\x1b[K{clean[:118]}")
        else:
            now = self._clock()
            if self._last_at is not None and now - self._last_at < self._every_s:
                return
            self._last_at = now
            self._out.write(f"\n{clean}")

    def line(self, text: str) -> None:
        """Show a line that stays."""
        lead = "\r\x1b[K" if self._tty else "\n"
        self._out.write(f"{lead}{printable(self._mask(text))}\n")
        self._last_at = None
