"""Standard streams that cannot end a run: closed ones, a reader that left, a full disk."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class LastingStream:
    """A text stream that drops what cannot be written; everything else is that of the stream inside."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        try:
            return int(self._stream.write(text))
        except OSError:
            drop(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            self._stream.flush()
        except OSError:
            drop(self._stream)


def make_lasting() -> None:
    """Make standard output and error last; open the null device in place of streams that are closed."""
    for name, mode in STREAMS:
        for place in (name, f"__{name}__"):
            if getattr(sys, place) is None:
                setattr(sys, place, open(os.devnull, mode))  # noqa: SIM115
        if mode == "w" and not isinstance(getattr(sys, name), LastingStream):
            setattr(sys, name, LastingStream(getattr(sys, name)))


def drop(stream: Any) -> None:
    """Lead a stream that cannot be written to the null device, with what it still holds."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
