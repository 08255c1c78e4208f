"""The exit code to the very end: later errors keep it or lower it, and none of them makes a rejection."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import ERRS, FAILS, HEAD, PASSES, Ran, accept, clean_env, junit_of, pytest_argv, warm_run

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.run.verdict_hooks import exit_code

ACCEPTED, REJECTED, INCONCLUSIVE = PASSES, PASSES + FAILS, PASSES + ERRS
CODES = {ACCEPTED: 0, REJECTED: 1, INCONCLUSIVE: 11}


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with QuickServer() as server:
        yield server.url


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def accept_with(checkout: Callable[..., Path], reports: Path, quick: str) -> Callable[..., Ran]:
    """Run an acceptance module with the source of another plugin."""

    def run(module: str, plugin: str, *args: str) -> Ran:
        root = checkout(test_health=HEAD + module)
        (root / "other.py").write_text(f"import os, pytest, shutil, sys\n{plugin}", "utf-8")
        return accept(root, reports, quick, "-pother", *args, env={"PYTHONPATH": str(root)})

    return run


@pytest.mark.parametrize(
    ("decided", "code", "broken", "final"),
    [
        (0, 0, None, 0),
        (1, 1, None, 1),
        (1, 0, None, 1),
        (11, 1, None, 11),
        (10, 1, None, 10),
        (0, 1, None, 11),
        (0, 6, None, 6),
        (None, 5, None, 5),
        (0, 0, ValueError(), 11),
        (0, 0, OSError(), 10),
        (1, 0, OSError(), 1),
        (11, 0, ValueError(), 11),
        (10, 0, KeyboardInterrupt(), 10),
        (0, 0, KeyboardInterrupt(), 2),
        (None, 0, KeyboardInterrupt(), 2),
        (None, 0, MemoryError(), 10),
        (None, 0, EnvironmentProblem(), 10),
        (None, 0, UsageProblem("wrong"), 4),
        (None, 0, ValueError(), 3),
    ],
)
def test_what_comes_after_the_verdict_keeps_its_exit_code_or_lowers_it(
    decided: int | None, code: int, broken: BaseException | None, final: int
) -> None:
    assert exit_code(decided, code, broken) == final


AT_SESSION_END = """
def pytest_sessionfinish(session):
    raise ValueError("broken at the end")
"""
LATE = {
    "session end": AT_SESSION_END,
    "around the session end": """
@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session):
    yield
    raise ValueError("broken at the end")
""",
    "terminal summary": """
@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    raise ValueError("broken at the end")
""",
    "unconfigure": """
def pytest_unconfigure(config):
    raise ValueError("broken at the end")
""",
    "exit in unconfigure": """
def pytest_unconfigure(config):
    sys.exit(1)
""",
    "interrupt in unconfigure": """
def pytest_unconfigure(config):
    raise KeyboardInterrupt
""",
    "exit status": """
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 1


def pytest_unconfigure(config):
    pytest.exit("never mind", returncode=1)
""",
}
LOWERED = {ACCEPTED: {11, 2, 3}, REJECTED: {1}, INCONCLUSIVE: {11}}


@pytest.mark.parametrize("module", CODES, ids=["accepted", "rejected", "inconclusive"])
@pytest.mark.parametrize("where", LATE)
def test_an_error_in_a_hook_after_the_verdict_never_rejects(
    where: str, module: str, accept_with: Callable[..., Ran], reports: Path
) -> None:
    ran = accept_with(module, LATE[where])
    assert ran.code in LOWERED[module], ran.output
    assert {ACCEPTED: "ACCEPTED  ", REJECTED: "REJECTED  ", INCONCLUSIVE: "INCONCLUSIVE  "}[module] in ran.out
    assert len(list(junit_of(reports).iter("testcase"))) == module.count("def test_")


def test_an_error_before_the_first_test_has_no_verdict(accept_with: Callable[..., Ran]) -> None:
    ran = accept_with(PASSES, 'def pytest_sessionstart(session):\n    raise ValueError("broken at the start")\n')
    assert ran.code == 3, ran.output
    assert "ACCEPTED" not in ran.out


def test_a_module_that_cannot_be_imported_rejects_nothing_with_x(accept_with: Callable[..., Ran]) -> None:
    assert accept_with("import nosuch\n", "", "-x").code == 2


@pytest.mark.parametrize("option", ["-n2", "--tests-per-worker=2", "--workers=2", "--parallel-threads=2", "--forked"])
def test_an_option_that_runs_tests_in_parallel_is_refused(option: str, accept_with: Callable[..., Ran]) -> None:
    adds = {
        "--tests-per-worker=2": "parser.addoption('--tests-per-worker')",
        "--workers=2": "parser.addoption('--workers')",
        "--parallel-threads=2": "parser.addoption('--parallel-threads')",
        "--forked": "parser.addoption('--forked', action='store_true')",
    }
    if option == "-n2":
        pytest.importorskip("xdist")
    ran = accept_with(PASSES, f"def pytest_addoption(parser):\n    {adds.get(option, 'pass')}\n", option)
    assert ran.code == 4, ran.output
    assert len(ran.problems) == 1, ran.output


VANISHES = """
def pytest_runtest_logreport(report):
    if report.when == "call":
        for folder in os.environ["GONE"].split(":"):
            shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.mark.parametrize("module", [ACCEPTED, REJECTED], ids=["accepted", "rejected"])
def test_reports_that_vanish_during_the_run_are_an_environment_problem(
    module: str, checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    root = checkout(test_health=HEAD + module)
    (root / "other.py").write_text(f"import os, shutil\n{VANISHES}", "utf-8")
    ran = accept(root, reports, quick, "-pother", env={"PYTHONPATH": str(root), "GONE": str(reports)})
    assert ran.code == 10, ran.output
    assert "Traceback" not in ran.output
    assert "INCONCLUSIVE" in ran.out


@pytest.mark.parametrize("place", ["runs", "name"])
def test_a_folder_for_the_run_that_cannot_be_made_is_one_line(
    place: str, checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    root = checkout(test_health=HEAD + PASSES)
    reports.mkdir()
    profile = root / "fixtures" / "profiles" / "quick.yaml"
    if place == "runs":
        (reports / "runs").write_text("", "utf-8")
        ran = accept(root, reports, quick)
    else:
        long = root / "long.yaml"
        long.write_text(profile.read_text("utf-8").replace("name: quick", f"name: {'q' * 300}"), "utf-8")
        ran = warm_run(
            "-m", "smoke", f"--vlm-profile={long}", f"--vlm-base-url={quick}", f"--vlm-reports={reports}", cwd=root
        )
    assert ran.code == 4, ran.output
    assert len(ran.problems) == 1, ran.output
    assert "Traceback" not in ran.output


def test_a_name_too_long_for_any_file_is_one_line(checkout: Callable[..., Path], reports: Path) -> None:
    args = ("-m", "smoke", f"--vlm-profile={'q' * 300}.yaml", f"--vlm-reports={reports}")
    ran = warm_run(*args, cwd=checkout(test_health=HEAD + PASSES))
    assert ran.code == 4, ran.output
    assert len(ran.problems) == 1, ran.output
    assert "Traceback" not in ran.output


STREAMS = {
    "stdin closed": "<&-",
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "reader left": "-v > >(true)",
    "full disk": "-v >/dev/full 2>/dev/full",
}


@pytest.mark.parametrize("module", CODES, ids=["accepted", "rejected", "inconclusive"])
@pytest.mark.parametrize("streams", STREAMS)
def test_standard_streams_that_are_gone_change_no_exit_code(
    streams: str, module: str, checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    root = checkout(test_health=HEAD + module)
    given = ["-m", "smoke", "--vlm-profile=quick", f"--vlm-base-url={quick}", f"--vlm-reports={reports}"]
    shell = ["bash", "-c", f'"$@" {STREAMS[streams]}', "bash", *pytest_argv(given)]
    done = subprocess.run(shell, cwd=root, env=clean_env(), capture_output=True, timeout=120, check=False)
    assert done.returncode == CODES[module], done.stdout + done.stderr
    assert (reports / "latest" / "verdict.txt").is_file()


def test_an_old_junit_file_is_not_taken_for_that_of_a_run_that_dies(
    accept_with: Callable[..., Ran], reports: Path
) -> None:
    reports.mkdir()
    (reports / "junit.xml").write_text("<testsuites/>", "utf-8")
    ran = accept_with(PASSES, "def pytest_sessionstart(session):\n    os._exit(9)\n")
    assert ran.code == 9
    assert not (reports / "junit.xml").exists()


def test_an_address_space_too_small_for_threads_is_an_environment_problem(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    given = ["-m", "smoke", "--vlm-profile=quick", f"--vlm-base-url={quick}", f"--vlm-reports={reports}"]
    shell = ["bash", "-c", 'ulimit -v 400000; exec "$@"', "bash", *pytest_argv(given)]
    root = checkout(test_health=HEAD + FAILS)
    done = subprocess.run(shell, cwd=root, env=clean_env(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 10, done.stdout + done.stderr
    assert "limited to 400000 KiB (ulimit -v); at least 2 GiB" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
