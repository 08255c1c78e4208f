"""Progress: one line rewritten on a terminal, a whole line now and then elsewhere, and nothing that steers either."""

from __future__ import annotations

import io
import itertools

import pytest

from vlm_acceptance.report.progress import LOG_COLUMNS, Progress, StageProgress, cut_to, duration


class Log(io.StringIO):
    """A stream in which pytest has written `dots` into the present line."""

    dots = 0

    def column(self) -> int:
        return self.dots


class Terminal(Log):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def on_terminal(out: Terminal, columns: int = 80) -> Progress:
    return Progress(out, columns=lambda: columns)


def test_a_terminal_has_one_line_rewritten() -> None:
    out = Terminal()
    progress = on_terminal(out)
    for n in range(5):
        progress(f"loading {n}")
    progress.line("ready")
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().split("\r\x1b[K") == [*(f"loading {n}" for n in range(5)), "ready\n"]


def test_the_dots_of_pytest_are_not_overwritten() -> None:
    out = Terminal()
    progress = on_terminal(out)
    out.dots = 7
    progress("loading")
    progress("loading more")
    out.dots = 8
    progress("soaking")
    assert out.getvalue() == "\nloading\r\x1b[Kloading more\nsoaking"


@pytest.mark.parametrize("text", ["x" * 500, "字" * 500])
def test_a_long_state_is_cut_at_its_end_to_the_width_of_the_terminal(text: str) -> None:
    out = Terminal()
    on_terminal(out, 40)(text)
    assert out.getvalue().endswith("…")
    assert text.startswith(out.getvalue()[:-1])
    assert len(out.getvalue().encode("gbk")) <= 40


def test_a_text_that_fits_is_not_cut() -> None:
    assert cut_to("x" * 40, 40) == "x" * 40
    assert cut_to("字" * 20, 40) == "字" * 20
    assert cut_to("x" * 41, 40) == "x" * 39 + "…"


def test_a_ci_log_gets_a_state_every_30_seconds() -> None:
    out, clock = Log(), Clock()
    progress = Progress(out, clock=clock)
    for clock.now in range(100):
        progress(f"at {clock.now:g}")
    assert out.getvalue() == "at 30\nat 60\nat 90\n"


def test_a_ci_log_gets_whole_lines_and_no_empty_one() -> None:
    out, clock = Log(), Clock()
    progress = Progress(out, clock=clock)
    out.dots = 3
    progress.line("engine: starting")
    clock.now = 31
    progress("engine, 31 s: loading\n  the weights " + "x" * 500)
    progress.line("engine: ready")
    out.dots = 5
    progress.line("engine: ended")
    first, *lines = out.getvalue().split("\n")
    assert first == ""  # after the three dots
    assert lines[0] == "engine: starting"
    assert lines[1].startswith("engine, 31 s: loading the weights xxx")
    assert (len(lines[1]), lines[1][-1]) == (LOG_COLUMNS, "…")
    assert lines[2:] == ["engine: ready", "", "engine: ended", ""]  # after five dots of pytest


def test_a_line_is_never_dropped() -> None:
    out, clock = Log(), Clock()
    progress = Progress(out, clock=clock)
    progress.line("a")
    progress("b")
    progress.line("c")
    assert out.getvalue() == "a\nc\n"


def test_an_engines_log_line_cannot_steer_the_terminal() -> None:
    for out in (Log(), Terminal()):
        progress = Progress(out, every_s=0)
        progress("\x1b[2J\rboo\n\udc80")
        progress.line("\x1b[2J\rboo\udc80")
        assert not set(out.getvalue().replace("\r\x1b[K", "")) & {"\x1b", "\r", "\udc80"}


def test_a_stage_shows_its_time_what_it_waits_for_and_the_time_left_by_the_last_run() -> None:
    lines: list[str] = []
    clock = Clock()
    stage = StageProgress("engine", lines.append, 125.0, clock)
    for clock.now in (20.6, 124.5, 300.0):
        stage("waits for port; Loading weights")
    assert lines == [
        "engine, 21 s, about 1 min 44 s left: waits for port; Loading weights",
        "engine, 2 min 04 s, 2 min 05 s in the last run: waits for port; Loading weights",
        "engine, 5 min 00 s, 2 min 05 s in the last run: waits for port; Loading weights",
    ]


def test_a_stage_of_a_first_run_promises_no_time() -> None:
    lines: list[str] = []
    StageProgress("engine", lines.append, None, Clock())("waits for port; nothing listens")
    assert lines == ["engine, 0 s: waits for port; nothing listens"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (99.4, "99 s"), (99.6, "1 min 40 s"), (3599.4, "59 min 59 s"), (3720, "1 h 02 min")],
)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_log_of_hours_gets_few_lines() -> None:
    out, clock = Log(), Clock()
    progress = Progress(out, clock=clock)
    for clock.now in range(0, 3 * 3600, 5):
        progress(f"at {clock.now:g}")
    times = [float(line.removeprefix("at ")) for line in out.getvalue().splitlines()]
    assert times[:4] == [30, 60, 90, 135]
    assert len(times) < 30
    # a log that is silent for hours is taken for a hang
    assert max(after - before for before, after in itertools.pairwise(times)) <= 610
