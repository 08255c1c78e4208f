"""Hooks that record the outcome of each acceptance test.

What the test function itself did counts: a plugin that repeats a test, hides its exception or changes its report can
make the outcome worse, but not better.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, NotStored, ToBeCalibrated, VlmAcceptanceError
from vlm_acceptance.core.exchange import NS
from vlm_acceptance.core.finding import Finding, Outcome
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import WORST_FIRST, TestResult, worst
from vlm_acceptance.run import requirements
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.stash_keys import COLLECTOR

# outcome -> outcome and phase of pytest's report; the phase decides between <failure> and <error> in JUnit
SHOWN = {
    Outcome.FAILED: ("failed", "call"),
    Outcome.ERROR: ("failed", "setup"),
    Outcome.TO_CALIBRATE: ("failed", "setup"),  # an error in JUnit: it must not look like a pass
    Outcome.NOT_RUN: ("skipped", "call"),
    Outcome.SKIPPED: ("skipped", "call"),
    Outcome.PASSED: ("passed", "call"),
}
OUTCOMES = pytest.StashKey["OutcomeHooks"]()
INTERRUPTS = (KeyboardInterrupt, SystemExit, pytest.exit.Exception)
PYTEST_OUTCOMES = ("passed", "failed", "skipped")


@dataclass
class Run:
    """One run of a test: setup, call, teardown. `result` is its worst phase so far, None while nothing is known."""

    result: TestResult | None = None
    problem: BaseException | None = None
    is_called: bool = False


class OutcomeHooks:
    """A pytest plugin, registered once for each acceptance run."""

    def __init__(self, context: RunContext, is_ours: Callable[[Any], bool]) -> None:
        self._context = context
        self._is_ours = is_ours
        self._runs: dict[str, list[Run]] = {}
        # tests whose only problem is in the teardown
        self._late: set[str] = set()
        self.collected: list[pytest.Function] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Watch the test function itself, inside whatever other plugins put around it."""
        if self._is_ours(item) and isinstance(item, pytest.Function):
            self.collected.append(item)
            item.obj = self._watched(item, item.obj)

    def selected(self, items: Sequence[pytest.Item]) -> bool:
        """Whether an acceptance test is among these."""
        return any(self._is_ours(item) for item in items)

    def uncollected(self) -> Mapping[str, set[str]]:
        """Test functions of collected modules without a single item: node id -> names of their marks."""
        found = {}
        for module in {item.getparent(pytest.Module) for item in self.collected} - {None}:
            assert module is not None
            names = {item.originalname for item in self.collected if item.path == module.path}
            marks = [mark.name for mark in module.iter_markers()]
            for name, value in vars(module.obj).items():
                if name.startswith("test_") and inspect.isfunction(value) and name not in names:
                    ident = f"{module.nodeid}::{name}"
                    found[ident] = {*marks, *(mark.name for mark in getattr(value, "pytestmark", ()))}
        return found

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Put the tests into their order, each once, as late as this: other plugins move and repeat tests, too."""
        self.order(session.items)
        return (yield)

    def order(self, items: list[pytest.Item]) -> None:
        """Sort by area, then as the tests are written; an item that is there twice is taken once."""
        items[:] = dict.fromkeys(items)
        places = {item.nodeid: place for place, item in enumerate(self.collected)}
        items.sort(
            key=lambda item: (requirements.rank(requirements.area_of(item.path)), places.get(item.nodeid, len(places)))
        )

    def _watched(self, item: pytest.Function, test: Callable[..., object]) -> Callable[..., None]:
        @functools.wraps(test)
        def watched(*args: object, **kwargs: object) -> None:
            __tracebackhide__ = True
            runs = self._runs.setdefault(item.nodeid, [Run()])
            if runs[-1].is_called:  # repeated without a new setup
                runs.append(Run())
            runs[-1].is_called = True
            began = time.monotonic()
            try:
                _settled(item, lambda: test(*args, **kwargs))
            except INTERRUPTS:
                raise
            except BaseException as problem:
                is_skip = isinstance(problem, pytest.skip.Exception)
                outcome = Outcome.SKIPPED if is_skip else outcome_of(problem, "call")
                self._note(item, outcome, problem, str(problem), time.monotonic() - began)
                raise
            self._note(item, Outcome.PASSED, None, "", time.monotonic() - began)

        return watched

    def _note(
        self, item: pytest.Item, outcome: Outcome, problem: BaseException | None, message: str, seconds: float = 0.0
    ) -> None:
        """Keep an outcome of the last run of a test, if it is the worst of that run."""
        run = self._runs.setdefault(item.nodeid, [Run()])[-1]
        if run.result is not None and WORST_FIRST.index(run.result.outcome) <= WORST_FIRST.index(outcome):
            return
        collector = item.stash.get(COLLECTOR, None)
        must = (getattr(item, "obj", None).__doc__ or "").strip().partition("\n")[0]
        run.problem = problem
        if isinstance(problem, NotStored):
            self._context.record.not_stored.add(item.nodeid)
        run.result = TestResult(
            id=item.nodeid,
            area=requirements.area_of(item.path),
            outcome=outcome,
            seconds=max(seconds, run.result.seconds if run.result else 0.0),
            message=printable(self._context.mask(message)),
            must=must,
            properties=collector.properties if collector else {},
            findings=tuple(collector.raised) if collector else (),
            categories=tuple(collector.categories) if collector else (),
        )

    def _result(self, nodeid: str) -> TestResult | None:
        known = [run.result for run in self._runs.get(nodeid, ()) if run.result is not None]
        return worst(known) if known else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A broken deployment is a failure, any other problem is an error, in every phase."""
        if self._is_ours(item) and call.when == "setup":
            runs = self._runs.setdefault(item.nodeid, [])
            if not runs or runs[-1].result is not None or runs[-1].is_called:
                runs.append(Run())
        report = yield
        if not self._is_ours(item):
            return report
        problem = call.excinfo.value if call.excinfo else None
        report.sections = [(name, self._context.mask(text)) for name, text in report.sections]
        self._describe(report, problem)
        if call.when == "teardown":
            self._tear_down(item, report, problem)
        else:
            self._judge(item, report, call)
        return report

    def _describe(self, report: pytest.TestReport, problem: BaseException | None) -> None:
        if isinstance(problem, NotRun):
            report.longrepr = f"not run: {problem}"
        elif isinstance(problem, (VlmAcceptanceError, pytest.skip.Exception, pytest.xfail.Exception)):
            report.longrepr = str(problem)
        elif problem is not None and report.failed:
            # CI lists show only the first line: it must be the error, not a line of source
            report.longrepr = f"{type(problem).__name__}: {problem}\n{report.longreprtext}"

    def _judge(self, item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        runs, seconds = self._runs.setdefault(item.nodeid, [Run()]), call.duration
        problem = call.excinfo.value if call.excinfo else None
        same = next((run for run in runs if problem is not None and run.problem is problem), None)
        text = printable(self._context.mask(report.longreprtext))
        if same is not None and same.result is not None:
            same.result = replace(same.result, message=text)
        elif problem is not None:
            foreign = isinstance(problem, (pytest.skip.Exception, pytest.xfail.Exception))
            text = f"not run: skipped from outside of the test: {text}" if foreign else text
            self._note(item, outcome_of(problem, call.when), problem, text, seconds)
        elif call.when == "setup" and report.passed:
            return
        elif not report.passed:  # another plugin's doing
            self._note(item, Outcome.ERROR if report.failed else Outcome.NOT_RUN, None, text, seconds)
        result = self._result(item.nodeid)
        if result is not None:
            show(report, result)
            item.user_properties[:] = report.user_properties = list(result.properties.items())

    def _tear_down(self, item: pytest.Item, report: pytest.TestReport, problem: BaseException | None) -> None:
        if problem is None and not report.failed:
            return
        run = self._runs.setdefault(item.nodeid, [Run()])[-1]
        text = printable(self._context.mask(report.longreprtext))
        if run.result is not None and run.result.outcome in (Outcome.FAILED, Outcome.ERROR, Outcome.TO_CALIBRATE):
            # a teardown error does not replace an earlier failure; a second report would be a second test of this name
            run.result = replace(run.result, message=f"{run.result.message}\nafterwards: {text}")
            report.sections.append(("afterwards", text))
            report.outcome, report.longrepr = "passed", None
            return
        self._late.add(item.nodeid)
        self._note(item, Outcome.ERROR, problem, text)
        report.outcome, report.longrepr = "failed", text

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """What other plugins made of a report afterwards must not look better than the outcome."""
        result = self._result(report.nodeid)
        if result is not None and report.outcome in PYTEST_OUTCOMES:
            is_late = report.when == "teardown" and report.nodeid in self._late
            if is_late and report.passed:
                report.outcome, report.longrepr = "failed", result.message
            elif report.when == "call" or (report.when == "setup" and not report.passed):
                show(report, result)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write the result of a test before the next one starts."""
        began_ns = time.monotonic_ns()
        self._context.test = item.nodeid
        done = yield
        result = self._result(item.nodeid)
        if result is not None:
            result = replace(result, wall_s=(time.monotonic_ns() - began_ns) / NS)
            self._context.record.keep(result)
            self._context.record.timeline.add("test", result.id, began_ns, result.area, result.outcome.value)
            try:
                self._context.store.result(result)
            except EnvironmentProblem as broken:  # without files there is no evidence: stop the session
                self._context.record.unwritable = item.session.shouldfail = str(broken)
        return done

    def explains_itself(self, result: TestResult) -> bool:
        """Whether the verdict can show a failure or an error by its cause: it is not below a bar, nor a broken test."""
        problems = [run.problem for run in self._runs.get(result.id, ())]
        is_sound = all(isinstance(one, VlmAcceptanceError) for one in problems)
        return is_sound and result.outcome in (Outcome.FAILED, Outcome.ERROR)

    def keep_broken(self) -> None:
        """Keep the failures of tests that were seen to fail but were not finished."""
        kept = {result.id for result in self._context.record.results}
        found = [self._result(nodeid) for nodeid in self._runs if nodeid not in kept]
        for result in found:
            if result is not None and result.outcome in (Outcome.FAILED, Outcome.ERROR):
                self._context.record.keep(result)


def outcome_of(problem: BaseException, when: str | None) -> Outcome:
    """The outcome of a phase that raised this; a skip from outside of the test function is "not run"."""
    if isinstance(problem, (NotRun, pytest.skip.Exception, pytest.xfail.Exception)):
        return Outcome.NOT_RUN
    if isinstance(problem, ToBeCalibrated):
        return Outcome.TO_CALIBRATE
    # pytest takes the phase to decide between failure and error; here the cause decides
    return Outcome.FAILED if isinstance(problem, AssertionError) and when != "teardown" else Outcome.ERROR


def show(report: pytest.TestReport, result: TestResult) -> None:
    """Make pytest's report of a test, which decides on JUnit and the terminal, say what the result is."""
    outcome, phase = SHOWN[result.outcome]
    vars(report).pop("wasxfail", None)
    report.outcome = outcome  # type: ignore[assignment]
    if outcome == "failed":
        report.when, report.longrepr = phase, result.message  # type: ignore[assignment]
    elif outcome == "skipped":
        path, line, _ = report.location
        report.longrepr = (str(Path(path)), (line or 0) + 1, result.message)
    else:
        report.longrepr = None


def _settled(item: pytest.Item, test: Callable[[], object]) -> None:
    """Run a test; if it collected findings it fails with all of them, also when the test itself breaks."""
    try:
        test()
    except (Exception, pytest.fail.Exception) as broken:
        collector = item.stash.get(COLLECTOR, None)
        if collector is not None and collector.all:
            if not isinstance(broken, NotRun):
                collector.add([Finding(kinds.BROKEN_TEST, "the test to finish", f"{type(broken).__name__}: {broken}")])
            collector.settle()
        raise
    if COLLECTOR in item.stash:
        item.stash[COLLECTOR].settle()
