"""Hooks of pytest: options, required tests, the outcome of each test, the verdict and its exit code."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.options import OPTIONS, Settings, load, unknown_option
from vlm_acceptance.config.paths import ACCEPTANCE, ROOT, require_possible_folder, writable_folder
from vlm_acceptance.config.profile_file import shown
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.language import language_of, option_in, set_language, tr
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.text import printable, trimmed
from vlm_acceptance.core.verdict import EXIT
from vlm_acceptance.report.progress import Progress
from vlm_acceptance.report.store import JUDGED
from vlm_acceptance.run import outputs, preview, profile_choice, requirements, stored
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.judged_again import JudgedRun
from vlm_acceptance.run.outcome_hooks import OUTCOMES, OutcomeHooks
from vlm_acceptance.run.record import NotApplicable, RunRecord
from vlm_acceptance.run.stash_keys import CONTEXT, LINES, SHOWN
from vlm_acceptance.run.stored import StoredRun
from vlm_acceptance.run.terminal_hooks import TerminalHooks
from vlm_acceptance.run.verdict_hooks import VerdictHooks

# address space: of a process with 64 threads; of an engine, which reserves much more than it uses
ATTACHED_GIB, LAUNCHED_GIB = 2, 8
# the time before a profile's name and the number behind it, in the name of a run's folder
RUN_NAME_EXTRA = len("20260101T000000Z-") + len(JUDGED) + len("-999")
NARROWING = {f"--{dest.replace('_', '-')}": dest for dest in ("lf", "stepwise", "deselect", "ignore", "ignore_glob")}
# of pytest-xdist, pytest-forked, pytest-parallel, pytest-run-parallel
IN_PARALLEL = {
    "numprocesses": "-n", "tx": "--tx", "dist": "--dist", "forked": "--forked",
    "workers": "--workers", "tests_per_worker": "--tests-per-worker", "parallel_threads": "--parallel-threads",
}  # fmt: skip
MARKERS = (
    "smoke: after every installation; minutes",
    "slow: nightly; load, soak, accuracy",
    "soak: judges the soak, which is made once",
    "needs(feature, ...): what the profile or the mode must have; otherwise the test is not applicable",
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add every option of the table; an unknown one is a usage error that names the nearest."""
    pluginmanager.register(VerdictHooks(), "vlm-acceptance-verdict")
    _speak(sys.argv[1:])
    wrong = unknown_option(sys.argv[1:])
    if wrong:
        raise pytest.UsageError(tr(wrong))
    group = parser.getgroup("vlm-acceptance", tr("acceptance of a vision-language deployment"))
    for option in OPTIONS:
        kind = {"metavar": option.metavar, "action": "append" if option.many else "store"}
        group.addoption(f"--{option.name}", help=tr(option.help), **({"action": "store_true"} if option.flag else kind))


def _speak(words: Sequence[str]) -> None:
    """Choose the language by the words of the command line; UsageError for one that there is not."""
    try:
        set_language(language_of(option_in(words)[1], os.environ))
    except UsageProblem as wrong:
        raise pytest.UsageError(str(wrong)) from None


def settings_of(config: pytest.Config) -> tuple[Settings, str, StoredRun | None]:
    """Settings, why an attached endpoint could not be reached, and the stored run that is judged again.

    UsageError of one line for a wrong value.
    """
    given = {option.dest: config.getoption(option.dest) for option in OPTIONS}
    _speak(config.invocation_params.args)
    try:
        values, env, judged = stored.completed(given, os.environ)
        chosen = profile_choice.of_stored(given, values) if judged else profile_choice.profile(values, env)
        settings = load(values, env, chosen.name, chosen.reason)
        if judged is not None:
            stored.require_same_model(judged, settings.loaded.profile.model)
    except UsageProblem as wrong:
        raise pytest.UsageError(tr(str(wrong))) from None
    except OSError as broken:  # such as a name that is too long for any file
        raise pytest.UsageError(printable(f"{trimmed(broken.filename)}: {broken.strerror}")) from None
    return settings, chosen.unreachable, judged


def is_acceptance(config: pytest.Config) -> bool:
    """Whether this run may hold acceptance tests: their folder, a part of it or a folder above it was named."""
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    return any(path.is_relative_to(ACCEPTANCE) or ACCEPTANCE.is_relative_to(path) for path in paths)


def _take_acceptance_alone(config: pytest.Config) -> None:
    """The suite's folder stands for its acceptance tests where it is named: the other tests are those of the suite."""
    named = [Path(config.invocation_params.dir, arg).resolve() for arg in config.args]
    whole = (ROOT, ACCEPTANCE.parent)
    config.args[:] = [str(ACCEPTANCE) if path in whole else arg for arg, path in zip(config.args, named, strict=True)]


def _is_ours(item: pytest.Item) -> bool:
    return ACCEPTANCE in item.path.parents


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """`--vlm-show-profile` prints the profile and stops."""
    if not config.getoption("vlm_show_profile"):
        return None
    settings, _, _ = settings_of(config)
    sys.stdout.write(f"# chosen: {settings.profile_reason}\n{shown(settings.loaded)}\n")
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Markers always; settings, JUnit file and signal handling for acceptance runs only."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    _take_acceptance_alone(config)
    if not is_acceptance(config) or config.getoption("help"):
        return
    settings, unreachable, judged = settings_of(config)
    for dest, option in IN_PARALLEL.items():
        if config.getoption(dest, None) not in (None, False, 0, "0", "no", []):
            raise pytest.UsageError(
                tr("{option}: one card holds one engine, and one process decides on a run; leave it out", option=option)
            )
    progress = Progress(Uncaptured(config), mask=Mask(*settings.secrets))
    parts = (settings, progress, progress.line, RunRecord(unreachable=unreachable))
    context = RunContext(*parts) if judged is None else JudgedRun(*parts, stored=judged)
    config.stash[CONTEXT], config.stash[OUTCOMES] = context, OutcomeHooks(context, _is_ours)
    config.pluginmanager.register(config.stash[OUTCOMES], "vlm-acceptance-outcomes")
    terminal = TerminalHooks(lambda nodeid: nodeid in config.stash.get(SHOWN, ()))
    config.pluginmanager.register(terminal, "vlm-acceptance-terminal")
    if config.getoption("collectonly"):
        return
    is_planned = config.getoption("vlm_plan")
    _require_address_space(settings)
    try:
        if is_planned:
            require_possible_folder(settings.reports, "--vlm-reports")
        else:
            _writable_reports(settings)
        context.check()
    except UsageProblem as wrong:
        raise pytest.UsageError(tr(str(wrong))) from None
    if is_planned:
        return
    if config.getoption("xmlpath", None) is None:
        config.option.xmlpath = str(settings.reports / "junit.xml")
    outputs.keep_earlier(Path(config.option.xmlpath), settings.reports / "runs")
    signal.signal(signal.SIGTERM, _interrupt)


def _require_address_space(settings: Settings) -> None:
    """End with the exit code of the environment where threads or engines cannot start: they would hang or die."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = LAUNCHED_GIB if settings.launched and not settings.judged else ATTACHED_GIB
    if limit != resource.RLIM_INFINITY and limit < needed << 30:
        shown = f"the address space of a process is limited to {limit >> 10} KiB (ulimit -v)"
        pytest.exit(tr(f"{shown}; at least {needed} GiB are needed"), returncode=EXIT["environment"])


def _writable_reports(settings: Settings) -> None:
    writable_folder(settings.reports, "--vlm-reports")
    runs = settings.reports / "runs"
    if os.path.lexists(runs):
        writable_folder(runs, "--vlm-reports")
    longest = os.pathconf(settings.reports, "PC_NAME_MAX") - RUN_NAME_EXTRA
    name = settings.loaded.profile.name
    if len(os.fsencode(name)) > longest:
        raise UsageProblem(f"name: {trimmed(name, 60)} is too long for a folder of reports; at most {longest} bytes")


class Uncaptured:
    """Standard error without the capture of pytest, so that progress is shown also without -s."""

    def __init__(self, config: pytest.Config) -> None:
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._released = capture.global_and_fixture_disabled if capture else contextlib.nullcontext
        self._config = config

    def isatty(self) -> bool:
        """Whether standard error is a terminal."""
        with self._released():
            return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()

    def column(self) -> int:
        """Where pytest wrote last in its line."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        return int(reporter._tw.width_of_current_line) if reporter else 0

    def write(self, text: str) -> None:
        """Write past the capture, at once."""
        # nobody reads what a closed or full standard error does not take
        with self._released(), contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _interrupt(_number: int, _frame: object) -> None:
    # like Ctrl-C: fixtures are torn down and reports are written
    raise KeyboardInterrupt("SIGTERM")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is tested, in at most six lines."""
    context = config.stash.get(CONTEXT, None)
    return [tr(line) for line in outputs.header(context)] if context else []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Set aside tests that are not applicable, and see how the run is narrowed."""
    context, hooks = config.stash.get(CONTEXT, None), config.stash.get(OUTCOMES, None)
    if context is None or hooks is None:
        return (yield)
    record, mark = context.record, config.getoption("markexpr")
    aside = _set_aside(hooks.collected, items, context)
    config.hook.pytest_deselected(items=aside)
    # not from `items`: another plugin may have taken some of them by now
    here = [item for item in hooks.collected if item.nodeid not in record.not_applicable]
    record.required = list(dict.fromkeys(item.nodeid for item in here if _marked(_marks(item), mark)))
    record.required += [ident for ident, marks in hooks.uncollected().items() if _marked(marks, mark)]
    result = yield
    hooks.order(items)
    if mark in requirements.PLAIN_MARKS:
        for item in aside:
            if not _marked(_marks(item), mark):
                record.not_applicable.pop(item.nodeid, None)
    lost = len(set(record.required) - {item.nodeid for item in items})
    collected = {item.path for item in hooks.collected}
    whole = collected >= set(ACCEPTANCE.glob("test_*.py")) and not any("::" in arg for arg in config.args)
    options = {option: bool(config.getoption(dest, None)) for option, dest in NARROWING.items()}
    record.narrowed = requirements.narrowing(mark, config.getoption("keyword"), whole, lost, options)
    used = _fixtures(items)
    context.wants_accuracy, context.wants_offline_logprobs = "accuracy" in used, "offline_logprobs" in used
    context.wants_offline = any("offline" in _needs(item) for item in items)
    return result


def _set_aside(collected: Sequence[pytest.Item], items: list[pytest.Item], context: RunContext) -> list[pytest.Item]:
    """Take the tests that are not applicable out of `items`; returns them."""
    settings = context.settings
    missing = requirements.missing_features(
        context.profile,
        launched=settings.launched,
        has_baseline=settings.baseline is not None,
        has_logprobs=settings.logprobs_baseline is not None,
        has_reference=context.inputs.has_reference,
        records_logprobs=settings.record_logprobs is not None,
        has_key=settings.api_key is not None,
    )
    missing = context.features_of_machine(missing)
    lacking = {item: [feature for feature in _needs(item) if feature in missing] for item in collected}
    aside = [item for item, features in lacking.items() if features]
    for item in aside:
        feature = lacking[item][0]
        context.record.not_applicable[item.nodeid] = NotApplicable(feature, missing[feature])
    items[:] = [item for item in items if not lacking.get(item)]
    return aside


def _needs(item: pytest.Item) -> list[str]:
    return [feature for marker in item.iter_markers("needs") for feature in marker.args]


def _fixtures(items: Sequence[pytest.Item]) -> set[str]:
    return {name for item in items for name in getattr(item, "fixturenames", ())}


def _marks(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()}


def _marked(marks: set[str], markexpr: str) -> bool:
    wanted = {mark for mark in ("smoke", "slow") if mark in markexpr} or {"smoke", "slow"}
    return bool(wanted & marks)


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
