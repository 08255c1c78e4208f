"""Hooks of pytest: options, required tests, the outcome of each test, the verdict and its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.options import OPTIONS, Settings, load, unknown_option
from vlm_acceptance.config.paths import ROOT, writable_folder
from vlm_acceptance.config.profile_file import shown
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, ToBeCalibrated, UsageProblem, VlmAcceptanceError
from vlm_acceptance.core.finding import Finding, Outcome
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import EXIT, TestResult, rule
from vlm_acceptance.report.progress import Progress
from vlm_acceptance.report.store import masker
from vlm_acceptance.run import outputs, preview, profile_choice, requirements
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.record import NotApplicable, RunRecord
from vlm_acceptance.run.stash_keys import COLLECTOR, CONTEXT, LINES, RESULT

ACCEPTANCE = ROOT / "tests" / "acceptance"
NARROWING = {f"--{dest.replace('_', '-')}": dest for dest in ("lf", "stepwise", "deselect", "ignore", "ignore_glob")}
MARKERS = (
    "smoke: after every installation; minutes",
    "slow: nightly; load, soak, accuracy",
    "soak: judges the soak, which is made once",
    "needs(feature, ...): what the profile or the mode must have; otherwise the test is not applicable",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of the table; an unknown one is a usage error that names the nearest."""
    wrong = unknown_option(sys.argv[1:])
    if wrong:
        raise pytest.UsageError(wrong)
    group = parser.getgroup("vlm-acceptance", "acceptance of a vision-language deployment")
    for option in OPTIONS:
        kind = {"metavar": option.metavar, "action": "append" if option.many else "store"}
        group.addoption(f"--{option.name}", help=option.help, **({"action": "store_true"} if option.flag else kind))


def settings_of(config: pytest.Config) -> tuple[Settings, str]:
    """Settings, and why an attached endpoint could not be reached; UsageError of one line for a wrong value."""
    values = {option.dest: config.getoption(option.dest) for option in OPTIONS}
    try:
        chosen = profile_choice.profile(values, os.environ)
        settings = load(values, os.environ, chosen.name, chosen.reason)
    except UsageProblem as wrong:
        raise pytest.UsageError(str(wrong)) from None
    return settings, chosen.unreachable


def is_acceptance(config: pytest.Config) -> bool:
    """Whether this run may hold acceptance tests: their folder, a part of it or a folder above it was named."""
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    return any(path.is_relative_to(ACCEPTANCE) or ACCEPTANCE.is_relative_to(path) for path in paths)


def _is_ours(item: pytest.Item) -> bool:
    return ACCEPTANCE in item.path.parents


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """`--vlm-show-profile` prints the profile and stops."""
    if not config.getoption("vlm_show_profile"):
        return None
    settings, _ = settings_of(config)
    sys.stdout.write(f"# chosen: {settings.profile_reason}\n{shown(settings.loaded)}\n")
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Markers always; settings, JUnit file and signal handling for acceptance runs only."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if not is_acceptance(config) or config.getoption("help"):
        return
    settings, unreachable = settings_of(config)
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("-n: one card holds one engine, and one process decides on a run; leave it out")
    progress = Progress(Uncaptured(config, masker(settings.api_key)))
    context = RunContext(settings, progress, progress.line, RunRecord(unreachable=unreachable))
    config.stash[CONTEXT] = context
    if config.getoption("collectonly"):
        return
    is_planned = config.getoption("vlm_plan")
    try:
        if not is_planned:
            writable_folder(settings.reports, "--vlm-reports")
        context.inputs.check(context.mask)
    except UsageProblem as wrong:
        raise pytest.UsageError(str(wrong)) from None
    if is_planned:
        return
    if config.getoption("xmlpath", None) is None:
        config.option.xmlpath = str(settings.reports / "junit.xml")
    signal.signal(signal.SIGTERM, _interrupt)


class Uncaptured:
    """Standard error without the capture of pytest, so that progress is shown also without -s."""

    def __init__(self, config: pytest.Config, mask: Callable[[str], str]) -> None:
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._released = capture.global_and_fixture_disabled if capture else contextlib.nullcontext
        self._mask = mask

    def isatty(self) -> bool:
        """Whether standard error is a terminal."""
        with self._released():
            return sys.stderr.isatty()

    def write(self, text: str) -> None:
        """Write past the capture, at once, with the API key masked."""
        with self._released():
            sys.stderr.write(self._mask(text))
            sys.stderr.flush()


def _interrupt(_number: int, _frame: object) -> None:
    # like Ctrl-C: fixtures are torn down and reports are written
    raise KeyboardInterrupt("SIGTERM")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is tested, in at most six lines."""
    context = config.stash.get(CONTEXT, None)
    return outputs.header(context) if context else []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Set aside tests that are not applicable, order the others by area, and see how the run is narrowed."""
    context = config.stash.get(CONTEXT, None)
    if context is None:
        return (yield)
    record, mark = context.record, config.getoption("markexpr")
    collected = {item.path for item in items}
    aside = _set_aside(items, context)
    _order(items)
    config.hook.pytest_deselected(items=aside)
    record.required = [item.nodeid for item in items if _is_ours(item) and _marked(item, mark)]
    result = yield
    _order(items)  # again: an option or another plugin may have moved the release before other tests
    if mark in requirements.PLAIN_MARKS:
        for item in aside:
            if not _marked(item, mark):
                del record.not_applicable[item.nodeid]
    lost = len(set(record.required) - {item.nodeid for item in items})
    whole = collected >= set(ACCEPTANCE.glob("test_*.py")) and not any("::" in arg for arg in config.args)
    options = {option: bool(config.getoption(dest, None)) for option, dest in NARROWING.items()}
    record.narrowed = requirements.narrowing(mark, config.getoption("keyword"), whole, lost, options)
    used = _fixtures(items)
    context.wants_accuracy, context.wants_offline_logprobs = "accuracy" in used, "offline_logprobs" in used
    context.wants_offline = any("offline" in _needs(item) for item in items)
    return result


def _set_aside(items: list[pytest.Item], context: RunContext) -> list[pytest.Item]:
    """Take the tests that are not applicable out of `items`; returns them."""
    settings = context.settings
    missing = requirements.missing_features(
        context.profile,
        launched=settings.launched,
        has_baseline=settings.baseline is not None,
        has_logprobs=settings.logprobs_baseline is not None,
        records_logprobs=settings.record_logprobs is not None,
        has_key=settings.api_key is not None,
    )
    lacking = {item: [feature for feature in _needs(item) if feature in missing] for item in items if _is_ours(item)}
    aside = [item for item, features in lacking.items() if features]
    for item in aside:
        feature = lacking[item][0]
        context.record.not_applicable[item.nodeid] = NotApplicable(feature, missing[feature])
    items[:] = [item for item in items if not lacking.get(item)]
    return aside


def _order(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: requirements.rank(requirements.area_of(item.path)))


def _needs(item: pytest.Item) -> list[str]:
    return [feature for marker in item.iter_markers("needs") for feature in marker.args]


def _fixtures(items: Sequence[pytest.Item]) -> set[str]:
    return {name for item in items for name in getattr(item, "fixturenames", ())}


def _marked(item: pytest.Item, markexpr: str) -> bool:
    wanted = [mark for mark in ("smoke", "slow") if mark in markexpr] or ["smoke", "slow"]
    return any(item.get_closest_marker(mark) for mark in wanted)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """`--vlm-plan` prints what would be run, and runs nothing."""
    config = session.config
    context = config.stash.get(CONTEXT, None)
    if context is None or session.testsfailed or not config.getoption("vlm_plan"):
        return None
    items = [item for item in session.items if _is_ours(item)]
    serves = "vllm_server" in _fixtures(items)
    soaks = any(item.get_closest_marker("soak") for item in items)
    mark, names = config.getoption("markexpr"), config.get_verbosity() > 0
    ids = [item.nodeid for item in items]
    config.stash[LINES] = preview.lines(context, ids, mark, serves=serves, soaks=soaks, names=names)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A broken deployment is a failure, any other problem is an error, in every phase."""
    report = yield
    context = item.config.stash.get(CONTEXT, None)
    if context is None or not _is_ours(item):
        return report
    problem = call.excinfo.value if call.excinfo else None
    if isinstance(problem, NotRun):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), (item.location[1] or 0) + 1, printable(context.mask(f"not run: {problem}")))
    elif isinstance(problem, VlmAcceptanceError):
        report.longrepr = printable(context.mask(str(problem)))
    elif problem is not None and report.failed:
        # CI lists show only the first line: it must be the error, not a line of source
        report.longrepr = printable(context.mask(f"{type(problem).__name__}: {problem}\n{report.longreprtext}"))
    if report.failed and report.when != "teardown":
        # pytest takes the phase to decide between failure and error; here the cause decides
        report.when = "call" if isinstance(problem, AssertionError) else "setup"
    earlier = item.stash.get(RESULT, None)
    if report.failed and report.when == "teardown" and earlier is not None and earlier.outcome is Outcome.FAILED:
        # a teardown error does not replace an earlier failure; a second report would be a second test of this name
        item.stash[RESULT] = replace(earlier, message=f"{earlier.message}\nafterwards: {report.longreprtext}")
        report.sections.append(("afterwards", report.longreprtext))
        report.outcome, report.longrepr = "passed", None
    elif report.when == "call" or report.failed or report.skipped:
        _remember(item, report, problem)
    return report


def _outcome(report: pytest.TestReport, problem: BaseException | None) -> Outcome:
    if isinstance(problem, NotRun):
        return Outcome.NOT_RUN
    if isinstance(problem, ToBeCalibrated):
        return Outcome.TO_CALIBRATE  # in JUnit it is an error: it must not look like a pass
    if report.failed:
        return Outcome.FAILED if report.when == "call" else Outcome.ERROR
    return Outcome.SKIPPED if report.skipped else Outcome.PASSED


def _remember(item: pytest.Item, report: pytest.TestReport, problem: BaseException | None) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    outcome = _outcome(report, problem)
    must = (getattr(item, "obj", None).__doc__ or "").strip().partition("\n")[0]
    collector = item.stash.get(COLLECTOR, None)
    properties = collector.properties if collector else {}
    item.user_properties[:] = report.user_properties = list(properties.items())
    item.stash[RESULT] = TestResult(
        id=item.nodeid,
        area=requirements.area_of(item.path),
        outcome=outcome,
        seconds=report.duration,
        message="" if outcome is Outcome.PASSED else reason,
        must=must,
        properties=properties,
        findings=tuple(collector.raised) if collector else (),
        categories=tuple(collector.categories) if collector else (),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that collected findings fails with all of them, also when the test itself breaks."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as broken:
        collector = item.stash.get(COLLECTOR, None)
        if collector is not None and collector.all:
            if not isinstance(broken, NotRun):
                collector.add([Finding(kinds.BROKEN_TEST, "the test to finish", f"{type(broken).__name__}: {broken}")])
            collector.settle()
        raise
    if COLLECTOR in item.stash:
        item.stash[COLLECTOR].settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Write the result of a test before the next one starts."""
    result = yield
    context = item.config.stash.get(CONTEXT, None)
    if context is not None and RESULT in item.stash:
        context.record.results.append(item.stash[RESULT])
        try:
            context.store.result(item.stash[RESULT])
        except EnvironmentProblem as broken:  # without files there is no evidence: stop the session
            context.record.unwritable = item.session.shouldfail = str(broken)
    return result


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
    """Release the engines, rule, write the reports, set the exit code; then pytest writes its JUnit file."""
    context = session.config.stash.get(CONTEXT, None)
    if context is not None and not session.config.getoption("collectonly"):
        _finish(session, context, exitstatus)
    try:
        return (yield)
    except OSError as broken:
        if LINES not in session.config.stash:
            raise
        # on a full disk the JUnit file is cut: it must not be read as complete
        with contextlib.suppress(OSError):
            Path(session.config.getoption("xmlpath")).unlink()
        session.config.stash[LINES].append(f"  note: the JUnit file cannot be written: {broken}")
        if session.exitstatus == EXIT["accepted"]:
            session.exitstatus = EXIT["environment"]
        return None


def _finish(session: pytest.Session, context: RunContext, exitstatus: int) -> None:
    context.release()
    if not context.record.results and not context.launch.tried:
        return
    record = context.record
    ruling = rule(
        record.results,
        record.required,
        mark=session.config.getoption("markexpr"),
        narrowed=record.narrowed or ("-x or --maxfail stopped it" if session.shouldfail else ""),
        blocked=context.blocked,
        interrupted=exitstatus == pytest.ExitCode.INTERRUPTED,
    )
    try:
        session.config.stash[LINES] = outputs.write_run(context, ruling)
    except (EnvironmentProblem, OSError) as broken:  # such as a full disk: no verdict without evidence
        record.unwritable = record.unwritable or str(broken)
        seen = "" if ruling.code == EXIT["environment"] else f"; without that: {ruling.verdict.value}: {ruling.reason}"
        ruling = rule(record.results, record.required, blocked=record.unwritable)
        session.config.stash[LINES] = [printable(f"{ruling.verdict.value.upper()}  {ruling.reason}{seen}")]
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.exitstatus = ruling.code


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the verdict at the end."""
    if LINES in config.stash:
        terminalreporter.section("vlm-acceptance", bold=True)
        for line in config.stash[LINES]:
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Mask the JUnit file, which is written by now, and copy it to the files of the run."""
    context = config.stash.get(CONTEXT, None)
    xml = config.getoption("xmlpath", None)
    if context is not None and xml and LINES in config.stash and not config.getoption("vlm_plan"):
        outputs.finish_junit(context, Path(xml))
