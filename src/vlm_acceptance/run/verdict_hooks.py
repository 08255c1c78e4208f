"""Hooks that end a run: release the engines, rule, write the reports, print the verdict, keep its exit code.

An error in any later hook keeps the exit code or lowers it: it never makes a rejection or an acceptance.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.finding import Verdict
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import EXIT, Ruling, rule
from vlm_acceptance.report.streams import make_lasting
from vlm_acceptance.run import outputs
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.outcome_hooks import OUTCOMES
from vlm_acceptance.run.stash_keys import CONTEXT, LINES, SHOWN

CAUSES_OUTSIDE = (EnvironmentProblem, OSError, MemoryError)


class VerdictHooks:
    """A pytest plugin, registered before pytest is configured. In runs that are no acceptance it does nothing."""

    def __init__(self) -> None:
        self._code: int | None = None
        self._is_shown = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """The last word about the exit code."""
        make_lasting()
        broken: BaseException | None = None
        code = 0
        try:
            code = int((yield) or 0)
        except BaseException as problem:
            make_lasting()  # the capture of pytest has put the former ones back
            if CONTEXT not in config.stash or (self._code is None and isinstance(problem, pytest.UsageError)):
                raise
            broken = problem
            with contextlib.suppress(BaseException):  # what it would raise was raised before
                config._ensure_unconfigure()
        if CONTEXT not in config.stash:
            return code
        make_lasting()
        self._show(config, broken)
        final = exit_code(self._code, code, broken)
        if final != self._code and self._code is not None:
            _say(f"exit code {final} in place of {self._code}: another plugin broke, or set it, after the verdict")
        sys.stdout.flush()
        sys.stderr.flush()
        return final

    def _show(self, config: pytest.Config, broken: BaseException | None) -> None:
        if not self._is_shown:
            for line in config.stash.get(LINES, []):
                _say(line, "stdout")
        if broken is not None:
            _say(config.stash[CONTEXT].mask(f"ERROR: {type(broken).__name__}: {broken}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
        """Release the engines, rule, write the reports, set the exit code; then pytest writes its JUnit file."""
        context = session.config.stash.get(CONTEXT, None)
        if context is None or session.config.getoption("collectonly"):
            return (yield)
        problems: list[Exception] = []
        for step in (context.release, lambda: self._finish(session, context, exitstatus)):
            try:
                step()
            except Exception as broken:  # noqa: BLE001
                problems.append(broken)
        for problem in problems:
            self._lower(session, problem, "the run could not be finished")
        try:
            done = yield
        except Exception as broken:  # noqa: BLE001
            done = None
            _write_junit(session.config, broken)
            self._lower(session, broken, "after the verdict")
        if self._code is not None:
            session.exitstatus = exit_code(self._code, int(session.exitstatus), None)
        return done

    def _lower(self, session: pytest.Session, broken: Exception, when: str) -> None:
        mask = session.config.stash[CONTEXT].mask
        note = printable(mask(f"  note: {when}: {type(broken).__name__}: {broken}"))
        session.config.stash.setdefault(LINES, []).append(note)
        self._code = exit_code(self._code, int(session.exitstatus), broken)
        session.exitstatus = self._code

    def _finish(self, session: pytest.Session, context: RunContext, exitstatus: int) -> None:
        record, hooks = context.record, session.config.stash[OUTCOMES]
        hooks.keep_broken()
        judged = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        was_run = record.results or context.launch.tried or (judged and hooks.selected(session.items))
        if session.config.getoption("vlm_plan") or not was_run:
            if exitstatus == pytest.ExitCode.TESTS_FAILED and not session.items:
                session.exitstatus = pytest.ExitCode.INTERRUPTED  # -x and a module that cannot be imported
            return
        ruling = rule(
            record.results,
            record.required,
            mark=session.config.getoption("markexpr"),
            narrowed=record.narrowed or ("-x or --maxfail stopped it" if session.shouldfail else ""),
            blocked=context.blocked,
            interrupted=exitstatus == pytest.ExitCode.INTERRUPTED,
        )
        self._code = ruling.code if judged else int(exitstatus)
        lines, written = _written(context, ruling)
        session.config.stash[LINES] = lines
        if written is ruling:
            # a traceback of a test that broke is shown, unless the run is rejected for something else
            is_rejected = ruling.verdict is Verdict.REJECTED
            shown = [one.id for one in record.results if is_rejected or hooks.explains_itself(one)]
            session.config.stash[SHOWN] = frozenset(shown)
        self._code = written.code if judged else int(exitstatus)
        session.exitstatus = self._code

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print the verdict at the end."""
        if LINES in config.stash:
            terminalreporter.section("vlm-acceptance", bold=True)
            for line in config.stash[LINES]:
                terminalreporter.write_line(tr(line))
            self._is_shown = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> Generator[None, object, object]:
        """Mask the JUnit file, which is written by now, copy it to the files of the run, and attest all of them."""
        context = config.stash.get(CONTEXT, None)
        xml = config.getoption("xmlpath", None)
        if context is not None and LINES in config.stash and not config.getoption("vlm_plan"):
            if xml:
                outputs.finish_junit(context, Path(xml))
            for line in outputs.attest(context):
                _say(line)
        return (yield)


def _written(context: RunContext, ruling: Ruling) -> tuple[list[str], Ruling]:
    """Write the reports; the lines of the verdict, and what it is without evidence if they cannot be written."""
    record = context.record
    try:
        return outputs.write_run(context, ruling), ruling
    except Exception as broken:  # noqa: BLE001
        seen = f"{ruling.verdict.value}: {ruling.reason}"
        if isinstance(broken, CAUSES_OUTSIDE):  # such as a full disk: no verdict without evidence
            record.unwritable = record.unwritable or str(broken)
            seen = "" if ruling.code == EXIT["environment"] else f"; without that: {seen}"
            ruling = rule(record.results, record.required, blocked=record.unwritable)
        else:
            seen = f"; the reports cannot be written: {type(broken).__name__}: {broken}"
            if ruling.verdict is Verdict.ACCEPTED:
                ruling = Ruling(Verdict.INCONCLUSIVE, EXIT["inconclusive"], ruling.reason)
        return [printable(context.mask(f"{ruling.verdict.value.upper()}  {ruling.reason}{seen}"))], ruling


def _write_junit(config: pytest.Config, broken: Exception) -> None:
    """Write the JUnit file if another plugin's error prevented that; remove one that is cut, on a full disk."""
    xml = config.getoption("xmlpath", None)
    writer = next((one for one in config.pluginmanager.get_plugins() if type(one).__name__ == "LogXML"), None)
    if not xml or writer is None:
        return
    try:
        if isinstance(broken, OSError):
            raise broken
        writer.pytest_sessionfinish()
    except Exception:  # noqa: BLE001
        with contextlib.suppress(OSError):
            Path(xml).unlink()


def exit_code(decided: int | None, code: int, broken: BaseException | None) -> int:
    """The exit code at the end: of the verdict if there is one (`decided`), never better by what came later.

    `code` is what pytest would return, `broken` what a hook raised after the verdict.
    """
    if broken is None:
        if decided is None or decided == code:
            return code
        # another plugin changed it: 1 would be a rejection
        return decided or (EXIT["inconclusive"] if code == EXIT["rejected"] else code)
    if decided:
        return decided
    if isinstance(broken, KeyboardInterrupt):
        return int(pytest.ExitCode.INTERRUPTED)
    if isinstance(broken, UsageProblem):
        return int(pytest.ExitCode.USAGE_ERROR)
    if isinstance(broken, CAUSES_OUTSIDE):
        return EXIT["environment"]
    return int(pytest.ExitCode.INTERNAL_ERROR) if decided is None else EXIT["inconclusive"]


def _say(line: str, stream: str = "stderr") -> None:
    with contextlib.suppress(ValueError):
        getattr(sys, stream).write(f"{tr(printable(line))}\n")
