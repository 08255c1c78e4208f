"""Progress: one line rewritten on a terminal, few lines elsewhere, and nothing that steers either."""

from __future__ import annotations

import io

from vlm_acceptance.report.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_rewritten() -> None:
    out = Terminal()
    progress = Progress(out)
    for n in range(5):
        progress(f"loading {n}")
    progress.line("ready")
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().split("\r\x1b[K")[1:] == [*(f"loading {n}" for n in range(5)), "ready\n"]


def test_a_long_state_does_not_wrap() -> None:
    out = Terminal()
    Progress(out)("x" * 500)
    assert len(out.getvalue()) < 125


def test_a_log_gets_a_state_only_now_and_then() -> None:
    now = [0.0]
    out = io.StringIO()
    progress = Progress(out, every_s=20, clock=lambda: now[0])
    for _ in range(100):
        progress(f"at {now[0]:g}")
        now[0] += 1
    assert out.getvalue().split() == ["at", "0", "at", "20", "at", "40", "at", "60", "at", "80"]


def test_a_line_is_never_dropped_and_the_next_state_is_shown() -> None:
    out = io.StringIO()
    progress = Progress(out, every_s=20, clock=lambda: 0.0)
    progress("a")
    progress("b")
    progress.line("c")
    progress("d")
    assert out.getvalue().split() == ["a", "c", "d"]


def test_an_engines_log_line_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    progress = Progress(out)
    progress("\x1b[2J\rboo\n\udc80")
    progress.line("\x1b[2J\rboo\udc80")
    assert not set(out.getvalue()) & {"\x1b", "\r", "\udc80"}
