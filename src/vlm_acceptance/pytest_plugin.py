"""Hooks: options, which tests a run requires, what each came to, the verdict and its exit code."""

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
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, UsageProblem, VlmAcceptanceError
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
MARKERS = (
    "smoke: after every installation; minutes",
    "slow: nightly; load, soak, accuracy",
    "needs(feature, ...): what the profile or the mode must have; a test without it is not applicable",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Every option of the table; a mistyped one is answered with the nearest."""
    wrong = unknown_option(sys.argv[1:])
    if wrong:
        raise pytest.UsageError(wrong)
    group = parser.getgroup("vlm-acceptance", "acceptance of a vision-language deployment")
    for option in OPTIONS:
        if option.flag:
            group.addoption(f"--{option.name}", action="store_true", default=False, help=option.help)
        elif option.many:
            group.addoption(f"--{option.name}", action="append", default=[], metavar=option.metavar, help=option.help)
        else:
            group.addoption(f"--{option.name}", default=None, metavar=option.metavar, help=option.help)


def settings_of(config: pytest.Config) -> tuple[Settings, str]:
    """Settings, and why an attached endpoint could not be reached; UsageError in one line for what is wrong."""
    values = {option.dest: config.getoption(option.dest) for option in OPTIONS}
    try:
        chosen = profile_choice.profile(values, os.environ)
        settings = load(values, os.environ, chosen.name, chosen.reason)
    except UsageProblem as wrong:
        raise pytest.UsageError(str(wrong)) from None
    return settings, chosen.unreachable


def is_acceptance(config: pytest.Config) -> bool:
    """Whether this run may hold acceptance tests: they, or a folder above them, were asked for."""
    for arg in config.args:
        path = Path(config.invocation_params.dir, arg.partition("::")[0]).resolve()
        if path == ACCEPTANCE or ACCEPTANCE in path.parents or path in ACCEPTANCE.parents:
            return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """`--vlm-show-profile` prints and stops."""
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
        raise pytest.UsageError("-n: one card holds one engine, and one process rules on a run; leave it out")
    progress = Progress(Uncaptured(config, masker(settings.api_key)))
    context = RunContext(settings, progress, progress.say, RunRecord(unreachable=unreachable))
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
    """Standard error as it was before pytest began to capture it: progress that only shows with -s shows to nobody."""

    def __init__(self, config: pytest.Config, mask: Callable[[str], str]) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._mask = mask

    def _released(self) -> contextlib.AbstractContextManager[None]:
        return self._capture.global_and_fixture_disabled() if self._capture else contextlib.nullcontext()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        with self._released():
            return sys.stderr.isatty()

    def write(self, text: str) -> None:
        """Past the capture, at once, without the API key."""
        with self._released():
            sys.stderr.write(self._mask(text))
            sys.stderr.flush()


def _interrupt(_number: int, _frame: object) -> None:
    # like Ctrl-C: fixtures are torn down and reports are written
    raise KeyboardInterrupt("SIGTERM")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is tested, at most six lines."""
    context = config.stash.get(CONTEXT, None)
    return outputs.header(context) if context else []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Order by area, set aside what is not applicable, and see what other options leave out of the plan."""
    context = config.stash.get(CONTEXT, None)
    if context is None:
        return (yield)
    missing = requirements.missing_features(
        context.profile,
        launched=context.settings.launched,
        has_baseline=context.settings.baseline is not None,
        has_numbers=context.settings.logprobs_baseline is not None,
        records_numbers=context.settings.record_logprobs is not None,
        has_key=context.settings.api_key is not None,
    )
    record = context.record
    kept: list[pytest.Item] = []
    aside: list[pytest.Item] = []
    for item in items:
        lacking = next((feature for feature in _needs(item) if feature in missing), None)
        (kept if lacking is None or ACCEPTANCE not in item.path.parents else aside).append(item)
        if lacking is not None:
            record.not_applicable[item.nodeid] = NotApplicable(lacking, missing[lacking])
    kept.sort(key=lambda item: requirements.rank(requirements.area_of(item.path)))
    items[:] = kept
    config.hook.pytest_deselected(items=aside)
    required = [item for item in kept if ACCEPTANCE in item.path.parents and _marked(item, config)]
    collected = {item.path for item in [*kept, *aside]}
    result = yield
    # once more: an option or another plugin may have put the release before what it would end
    items.sort(key=lambda item: requirements.rank(requirements.area_of(item.path)))
    record.required = [item.nodeid for item in required]
    if config.getoption("markexpr") in requirements.PLAIN_MARKS:
        record.not_applicable = {
            item.nodeid: record.not_applicable[item.nodeid] for item in aside if _marked(item, config)
        }
    lost = len({item.nodeid for item in required} - {item.nodeid for item in items})
    whole = collected >= set(ACCEPTANCE.glob("test_*.py")) and not any("::" in arg for arg in config.args)
    options = {
        f"--{name.replace('_', '-')}": bool(config.getoption(name, None))
        for name in ("lf", "stepwise", "deselect", "ignore", "ignore_glob")
    }
    record.narrowed = requirements.narrowing(
        config.getoption("markexpr"), config.getoption("keyword"), whole, lost, options
    )
    used = _fixtures(items)
    context.wants_accuracy = "accuracy" in used
    context.wants_offline_logprobs = "offline_logprobs" in used
    context.wants_offline = any("offline" in _needs(item) for item in items)
    return result


def _needs(item: pytest.Item) -> list[str]:
    return [feature for marker in item.iter_markers("needs") for feature in marker.args]


def _fixtures(items: Sequence[pytest.Item]) -> set[str]:
    return {name for item in items for name in getattr(item, "fixturenames", ())}


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """`--vlm-plan` says what would be run, and runs nothing."""
    config = session.config
    context = config.stash.get(CONTEXT, None)
    if context is None or session.testsfailed or not config.getoption("vlm_plan"):
        return None
    items = [item for item in session.items if ACCEPTANCE in item.path.parents]
    used = _fixtures(items)
    mark, names = config.getoption("markexpr"), config.get_verbosity() > 0
    ids = [item.nodeid for item in items]
    config.stash[LINES] = preview.lines(
        context, ids, mark, serves="vllm_server" in used, soaks="soaked" in used, names=names
    )
    return True


def _marked(item: pytest.Item, config: pytest.Config) -> bool:
    wanted = [mark for mark in ("smoke", "slow") if mark in config.getoption("markexpr")] or ["smoke", "slow"]
    return any(item.get_closest_marker(mark) for mark in wanted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A broken deployment is a failure and anything else that goes wrong an error, in whatever phase it shows."""
    report = yield
    context = item.config.stash.get(CONTEXT, None)
    if context is None or ACCEPTANCE not in item.path.parents:
        return report
    problem = call.excinfo.value if call.excinfo else None
    if isinstance(problem, NotRun):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), (item.location[1] or 0) + 1, printable(context.mask(f"not run: {problem}")))
    elif isinstance(problem, VlmAcceptanceError):
        report.longrepr = printable(context.mask(str(problem)))
    elif problem is not None and report.failed:
        # the first line is all that CI lists show, and an error of ours must not begin with our source
        report.longrepr = printable(context.mask(f"{type(problem).__name__}: {problem}\n{report.longreprtext}"))
    if report.failed and report.when != "teardown":
        # for pytest the phase decides between failure and error, for us the cause
        report.when = "call" if isinstance(problem, AssertionError) else "setup"
    earlier = item.stash.get(RESULT, None)
    if report.failed and report.when == "teardown" and earlier is not None and earlier.outcome is Outcome.FAILED:
        # a teardown error does not replace an earlier failure; a second report would be a second test of the same name
        item.stash[RESULT] = replace(earlier, message=f"{earlier.message}\nafterwards: {report.longreprtext}")
        report.sections.append(("afterwards", report.longreprtext))
        report.outcome, report.longrepr = "passed", None
    elif report.when == "call" or report.failed or report.skipped:
        _remember(item, report, problem)
    return report


def _outcome(report: pytest.TestReport, problem: BaseException | None) -> Outcome:
    if isinstance(problem, NotRun):
        return Outcome.NOT_RUN
    if report.failed:
        return Outcome.FAILED if report.when == "call" else Outcome.ERROR
    return Outcome.SKIPPED if report.skipped else Outcome.PASSED


def _remember(item: pytest.Item, report: pytest.TestReport, problem: BaseException | None) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    outcome = _outcome(report, problem)
    must = (getattr(item, "obj", None).__doc__ or "").strip().partition("\n")[0]
    collector = item.stash.get(COLLECTOR, None)
    properties = collector.properties if collector else {}
    item.user_properties[:] = list(properties.items())
    report.user_properties = list(properties.items())
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
    """A test that collected findings fails with all of them, also where the test itself breaks."""
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
    """A finished test is on disk before the next one starts."""
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
    """Release what still runs, rule, write the summary, set the exit code; then pytest writes its JUnit file."""
    context = session.config.stash.get(CONTEXT, None)
    if context is not None and not session.config.getoption("collectonly"):
        _finish(session, context, exitstatus)
    try:
        return (yield)
    except OSError as broken:
        if LINES not in session.config.stash:
            raise
        # what a full disk has left of the JUnit file would be read as the whole
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
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    stopped = "-x or --maxfail stopped it" if session.shouldfail else ""
    ruling = rule(
        context.record.results,
        context.record.required,
        mark=session.config.getoption("markexpr"),
        narrowed=context.record.narrowed or stopped,
        blocked=context.blocked,
        interrupted=interrupted,
    )
    try:
        session.config.stash[LINES] = outputs.write_run(context, ruling)
    except (EnvironmentProblem, OSError) as broken:  # a full disk: a verdict whose evidence nobody can read is none
        context.record.unwritable = context.record.unwritable or str(broken)
        seen = "" if ruling.code == EXIT["environment"] else f"; what was seen: {ruling.verdict.value}: {ruling.reason}"
        ruling = rule(context.record.results, context.record.required, blocked=context.record.unwritable)
        session.config.stash[LINES] = [printable(f"{ruling.verdict.value.upper()}  {ruling.reason}{seen}")]
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.exitstatus = ruling.code


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdict, below everything else."""
    if LINES in config.stash:
        terminalreporter.section("vlm-acceptance", bold=True)
        for line in config.stash[LINES]:
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The JUnit file is written by now: mask it, and put a copy beside the run's other files."""
    context = config.stash.get(CONTEXT, None)
    xml = config.getoption("xmlpath", None)
    if context is not None and xml and LINES in config.stash and not config.getoption("vlm_plan"):
        outputs.finish_junit(context, Path(xml))
