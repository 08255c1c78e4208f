"""What a command tells on standard output: a stream that cannot be written is one line, no traceback."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from vlm_acceptance.core.errors import EnvironmentProblem


def tell(text: str) -> None:
    """Write to standard output; EnvironmentProblem when it takes no more, BrokenPipeError when nobody reads."""
    if sys.stdout is None:  # closed before the start
        return
    try:
        sys.stdout.write(text)
        # here, where it can be answered: at the exit of the interpreter it is a traceback
        sys.stdout.flush()
    except BrokenPipeError:
        drop(sys.stdout)
        raise
    except OSError as broken:
        drop(sys.stdout)
        raise EnvironmentProblem(f"standard output cannot be written: {broken.strerror}") from None


def drop(stream: TextIO) -> None:
    """Lead a stream that cannot be written to the null device, with what it still holds."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
