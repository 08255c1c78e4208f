"""What every reader of a foreign file must do: its result or a known problem of one line, soon and in little memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem

# processor time: the wall clock of a busy machine says nothing about a reader
MOST_S = 2.0
MOST_MB = 300
TRIES = 3
LONGEST = 3000


def peak_mb() -> float:
    """The largest memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def survives(read: Callable[[], Any], before_mb: float) -> None:
    """Fail unless `read` returns, or raises a known problem whose message is one line, within the limits."""
    # a machine that shares its processors counts the time of others here and there; a slow reader is slow each time
    took_s = _seconds(read)
    for _ in range(TRIES):
        if took_s >= MOST_S:
            took_s = _seconds(read)
    assert took_s < MOST_S, f"{took_s:.1f} s"
    assert peak_mb() - before_mb < MOST_MB, f"{peak_mb() - before_mb:.0f} MB"


def _seconds(read: Callable[[], Any]) -> float:
    began = time.thread_time()
    try:
        read()
    except (UsageProblem, EnvironmentProblem) as problem:
        text = str(problem)
        assert text
        assert "\n" not in text, text
        assert len(text) < LONGEST, f"{len(text)} characters: {text[:300]}"
    return time.thread_time() - began
