"""How far a computation is: one rewritten line on a terminal, now and then a line elsewhere, with the time left."""

from __future__ import annotations

import io
import os

import pytest

from vlm_acceptance.reference.progress import Progress, duration


class Terminal(io.StringIO):
    """A screen that is one."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_each_half_minute() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress("reference", 100, out=out, clock=clock).start(0)
    for done in range(1, 101):
        clock.now += 1
        progress(done)
    progress.end()
    assert out.getvalue().splitlines() == [
        "reference: 30 of 100, 1 min left",
        "reference: 60 of 100, 40 s left",
        "reference: 90 of 100, 10 s left",
    ]


def test_a_terminals_line_is_rewritten_and_left_at_the_end() -> None:
    out, clock = Terminal(), Clock()
    progress = Progress("reference", 20, out=out, clock=clock)
    progress.say("loading a model with a long name, please wait")
    progress.start(10)
    clock.now = 5
    progress(15)
    progress.end()
    written = out.getvalue()
    assert written.endswith("\n")
    lines = written.rstrip("\n").split("\r")[1:]
    assert lines[1].rstrip() == "reference: 15 of 20, 5 s left"
    assert len(lines[1]) == len(lines[0])  # nothing of the longer line stays


def test_what_was_done_before_does_not_count_as_speed() -> None:
    out, clock = Terminal(), Clock()
    progress = Progress("reference", 100, out=out, clock=clock).start(90)
    clock.now = 60
    progress(95)
    assert "1 min left" in out.getvalue()


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (5400, "1.5 h")])
def test_times_have_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_progress_that_nobody_reads_does_not_end_the_computation() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        progress = Progress("reference", 3, out=out, every_s=0.0)
        for done in (1, 2, 3):
            progress(done)
        progress.end()
