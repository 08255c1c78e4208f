"""Hooks that keep the terminal of a run short: the verdict shows failures by their cause, and pytest not once more."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

HIDDEN = ("failed", "error")
# short options of pytest that take a value, also in the same word
VALUED = frozenset("kmpcWo")
SHOWING = ("--tb", "--full-trace", "--showlocals", "--pdb", "--trace")


class TerminalHooks:
    """A pytest plugin. What a user asks for, as with `-v`, `-rA` or `--tb=long`, is shown as pytest shows it.

    `is_shown_by_cause`: whether the verdict shows the failure or error of the test with this node id.
    """

    def __init__(self, is_shown_by_cause: Callable[[str], bool]) -> None:
        self._is_shown_by_cause = is_shown_by_cause

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """One row of dots for all files, not a line for each."""
        config = session.config
        reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and not is_detailed(config):
            with contextlib.suppress(AttributeError):
                reporter.showfspath = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> Generator[None, object, object]:
        """Leave out the failures and errors that the verdict shows; the counts of the last line stay."""
        if is_detailed(config):
            return (yield)
        stats = terminalreporter.stats
        kept = {key: stats[key] for key in HIDDEN if key in stats}
        for key, reports in kept.items():
            stats[key] = [report for report in reports if not self._is_hidden(report)]
        try:
            return (yield)
        finally:
            stats.update(kept)

    def _is_hidden(self, report: object) -> bool:
        return isinstance(report, pytest.TestReport) and self._is_shown_by_cause(report.nodeid)


def is_detailed(config: pytest.Config) -> bool:
    """Whether the user asked pytest for more than the verdict."""
    return config.get_verbosity() > 0 or asks_for_details(words_of(config))


def words_of(config: pytest.Config) -> list[str]:
    """The words of the command line, and those of PYTEST_ADDOPTS; not those of the suite's own settings."""
    words = [str(word) for word in config.invocation_params.args]
    with contextlib.suppress(ValueError):  # pytest has refused what cannot be split
        words += shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    return words


def asks_for_details(words: Sequence[str]) -> bool:
    """Whether the words of a command line ask for reports or tracebacks of tests."""
    valued = False
    for word in words:
        if word.startswith("--"):
            if word.partition("=")[0] in SHOWING:
                return True
        elif word.startswith("-") and not valued and _shows(word[1:]):
            return True
        valued = len(word) == 2 and word[0] == "-" and word[1] in VALUED
    return False


def _shows(letters: str) -> bool:
    for letter in letters:
        if letter in VALUED:
            return False
        if letter in "rl":
            return True
    return False
