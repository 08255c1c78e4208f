"""Plugins that repeat, reorder, skip, deselect or forgive tests: a test that failed once has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import FAILS, HEAD, PASSES, Ran, accept, junit_of, results_of, summary_of

FAILS_ONCE = '''
SEEN = []


def test_fails_once(client, findings):
    """It MUST be this."""
    SEEN.append(client.chat("one two"))
    findings.add([WRONG] if len(SEEN) == 1 else [], SEEN[-1])
'''
ERRS_ONCE = FAILS_ONCE.replace("findings.add([WRONG] if len(SEEN) == 1 else [], SEEN[-1])", "1 / (len(SEEN) - 1)")
SETUP_FAILS_ONCE = '''
SEEN = []


@pytest.fixture
def refused():
    SEEN.append(1)
    if len(SEEN) == 1:
        raise DeploymentFailure("refused in a fixture")


def test_fails_once(refused, client):
    """It MUST be ready."""
    client.chat("one two")
'''
TEARDOWN_FAILS_ONCE = SETUP_FAILS_ONCE.replace("    SEEN.append", "    yield\n    SEEN.append")
IMPORTS = "import pytest\nfrom _pytest.runner import runtestprotocol\n"
# what pytest-rerunfailures and flaky do: the protocol again, a failed run is not shown as failed
RERUNS = """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for is_last in (False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = not is_last and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
                item.ihook.pytest_runtest_logreport(report=report)
            elif not again:
                item.ihook.pytest_runtest_logreport(report=report)
        if not again:
            break
        item._initrequest()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
AGAIN = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    done = yield
    item._initrequest()
    runtestprotocol(item, nextitem=nextitem)
    return done
"""
# the whole hook again, by another run loop
LOOPS = """
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    if session.config.option.collectonly:
        return None
    for _ in range(2):
        for item, following in zip(session.items, [*session.items[1:], None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return True
"""
DOUBLES = """
@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    session.items += session.items
"""
# what pytest-retry does: the call again while the report is made
RETRIES = """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        again = pytest.CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
        return pytest.TestReport.from_item_and_call(item, again)
    return report
"""
CALLS_TWICE = """
@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    names = pyfuncitem._fixtureinfo.argnames
    for _ in range(2):
        try:
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        except Exception:
            pass
    return True
"""
REPEATERS = {"reruns": RERUNS, "again": AGAIN, "loops": LOOPS, "retries": RETRIES, "calls twice": CALLS_TWICE}


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with QuickServer() as server:
        yield server.url


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def accept_with(checkout: Callable[..., Path], reports: Path, quick: str) -> Callable[..., Ran]:
    """Run an acceptance module with other plugins (source texts), each registered by -p."""

    def run(module: str, *plugins: str, args: tuple[str, ...] = ()) -> Ran:
        root = checkout(test_health=HEAD + module)
        for number, source in enumerate(plugins):
            (root / f"other_{number}.py").write_text(IMPORTS + source, "utf-8")
        chosen = [f"-pother_{number}" for number in range(len(plugins))]
        return accept(root, reports, quick, *chosen, *args, env={"PYTHONPATH": str(root)})

    return run


def kinds_of(reports: Path, name: str) -> set[str]:
    cases = [case for case in junit_of(reports).iter("testcase") if case.get("name") == name]
    return {child.tag for case in cases for child in case} & {"failure", "error", "skipped"}


@pytest.mark.parametrize("plugin", REPEATERS)
def test_a_test_that_failed_once_has_failed_whatever_repeats_it(
    plugin: str, accept_with: Callable[..., Ran], reports: Path
) -> None:
    ran = accept_with(PASSES + FAILS_ONCE, REPEATERS[plugin])
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    assert kinds_of(reports, "test_fails_once") == {"failure"}
    reason = summary_of(reports)["reason"]
    assert reason.startswith("test_fails_once: ")
    assert "that; expected this" in reason
    (row,) = [row for row in summary_of(reports)["tests"] if row["id"].endswith("test_fails_once")]
    if plugin not in ("calls twice", "retries"):  # there the findings of the first call stay with the test
        assert reason.startswith("test_fails_once: unstable: failed in 1 of 2 runs: ")
        assert row["properties"]["runs"] == "failed, passed"
        assert "note: repeated by another plugin" in ran.out


@pytest.mark.parametrize(
    ("module", "code", "outcome"),
    [(ERRS_ONCE, 11, "error"), (SETUP_FAILS_ONCE, 1, "failed"), (TEARDOWN_FAILS_ONCE, 11, "error")],
    ids=["error", "setup", "teardown"],
)
def test_a_problem_of_any_phase_that_does_not_come_back_is_unstable(
    module: str, code: int, outcome: str, accept_with: Callable[..., Ran], reports: Path
) -> None:
    ran = accept_with(PASSES + module, RERUNS)
    assert ran.code == code, ran.output
    assert f"unstable: {outcome} in 1 of 2 runs" in summary_of(reports)["reason"]
    assert kinds_of(reports, "test_fails_once") == {"failure" if outcome == "failed" else "error"}


def test_the_result_of_a_repeated_test_is_stored_once(accept_with: Callable[..., Ran], reports: Path) -> None:
    accept_with(PASSES + FAILS_ONCE, LOOPS)
    rows = {row["id"].rpartition("::")[2]: row["outcome"] for row in results_of(reports)}  # the last line counts
    assert rows == {"test_passes": "passed", "test_fails_once": "failed"}
    assert [row["outcome"] for row in summary_of(reports)["tests"]].count("failed") == 1


FORGIVERS = {
    "report": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
    "report, registered last": """
class Late:
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.when == "call":
            report.outcome, report.longrepr = "skipped", ("x.py", 1, "Skipped: never mind")
        return report


def pytest_sessionstart(session):
    session.config.pluginmanager.register(Late())
""",
    "expected to fail": """
def pytest_itemcollected(item):
    item.add_marker(pytest.mark.xfail(strict=False))
""",
    "expected to fail, late": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.add_marker(pytest.mark.xfail(strict=False))
""",
    "exception of the call": """
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    except BaseException:
        return None
""",
    "exception of the function": """
@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
    except BaseException:
        pass
    return True
""",
    "log": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.outcome, report.longrepr = "passed", None
""",
    "exit status": """
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0


def pytest_terminal_summary(terminalreporter):
    terminalreporter._session.exitstatus = 0
""",
}


@pytest.mark.parametrize("plugin", FORGIVERS)
def test_a_failure_that_another_plugin_forgives_is_a_failure(
    plugin: str, accept_with: Callable[..., Ran], reports: Path
) -> None:
    ran = accept_with(PASSES + FAILS, FORGIVERS[plugin])
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    assert {row["outcome"] for row in results_of(reports) if row["id"].endswith("test_fails")} == {"failed"}
    if plugin != "log":  # a report that is changed while it is logged: JUnit may have it before us
        assert kinds_of(reports, "test_fails") == {"failure"}


LEAVERS = {
    "skip mark": """
def pytest_itemcollected(item):
    if "passes" in item.name:
        item.add_marker(pytest.mark.skip(reason="not today"))
""",
    "expected to fail, not run": """
def pytest_itemcollected(item):
    if "passes" in item.name:
        item.add_marker(pytest.mark.xfail(run=False))
""",
    "skip in a hook": """
def pytest_runtest_setup(item):
    if "passes" in item.name:
        pytest.skip("not today")
""",
    "skip in a fixture": """
@pytest.fixture(autouse=True)
def not_today(request):
    if "passes" in request.node.name:
        pytest.skip("not today")
""",
    "skip around the call": """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if "passes" in item.name:
        pytest.skip("not today")
    return (yield)
""",
    "deselected": """
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "passes" not in item.name]
""",
    "deselected around us": """
class Late:
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if "passes" not in item.name]
        return (yield)


def pytest_sessionstart(session):
    session.config.pluginmanager.register(Late())
""",
    "taken out of the session": """
@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    session.items[:] = [item for item in session.items if "passes" not in item.name]
""",
    "never collected": """
@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector, name, obj):
    return [] if name == "test_passes" else None
""",
    "protocol": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if "passes" in item.name else None
""",
}


@pytest.mark.parametrize("plugin", LEAVERS)
def test_a_required_test_that_another_plugin_leaves_out_is_no_pass(
    plugin: str, accept_with: Callable[..., Ran], reports: Path
) -> None:
    other = PASSES.replace("test_passes", "test_other")
    ran = accept_with(PASSES + other, LEAVERS[plugin])
    assert ran.code == 11, ran.output
    assert "ACCEPTED" not in ran.out
    assert summary_of(reports)["exit_code"] == 11


def test_a_run_loop_that_runs_nothing_is_no_acceptance(accept_with: Callable[..., Ran]) -> None:
    ran = accept_with(PASSES, "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtestloop(session):\n    return True\n")
    assert ran.code == 11, ran.output


REVERSES = """
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.reverse()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    session.items.reverse()
"""
ORDERED = PASSES + PASSES.replace("test_passes", "test_first") + PASSES.replace("test_passes", "test_last")


def test_plugins_that_reorder_and_repeat_together_change_nothing_for_a_right_deployment(
    accept_with: Callable[..., Ran], reports: Path
) -> None:
    ran = accept_with(ORDERED, REVERSES, RERUNS, LOOPS, RETRIES, DOUBLES)
    assert ran.code == 0, ran.output
    assert [row["id"].rpartition("::")[2] for row in summary_of(reports)["tests"]] == [
        "test_passes",
        "test_first",
        "test_last",
    ]


def test_plugins_that_reorder_repeat_skip_and_forgive_together_hide_no_failure(
    accept_with: Callable[..., Ran], reports: Path
) -> None:
    plugins = (REVERSES, RERUNS, LOOPS, RETRIES, *LEAVERS.values(), *FORGIVERS.values())
    ran = accept_with(PASSES + FAILS_ONCE, *plugins)
    assert ran.code == 1, ran.output
    assert "unstable: failed in " in summary_of(reports)["reason"]
