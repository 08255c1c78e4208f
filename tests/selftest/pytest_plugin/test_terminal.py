"""The terminal of a run: a rejection is short, and what a user asks for is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import ERRS, FAILS, HEAD, PASSES, accept, junit_of

MOST = 60
MANY = (
    HEAD
    + PASSES
    + FAILS
    + """
@pytest.mark.parametrize("number", range(40))
@pytest.mark.parametrize("area", ["body", "answer", "hang"])
def test_much_is_wrong(findings, number, area):
    '''Nothing of it MUST be wrong.'''
    findings.add([Finding(FindingClass(f"{area}.{number}", "wrong", FAILURE), "a" * 500, f"line\\n{number} " * 40)] * 9)
"""
)
BREAKS = (
    HEAD
    + PASSES
    + '''
def test_breaks():
    """It MUST not divide."""
    1 / 0
'''
)


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with QuickServer() as server:
        yield server.url


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


Checkout = Callable[..., Path]


def test_a_rejection_of_many_tests_fits_on_a_screen(checkout: Checkout, reports: Path, quick: str) -> None:
    areas = {f"test_area{number}": HEAD + PASSES for number in range(12)}
    # -v takes back the -q of these tests, so that pytest writes its header
    ran = accept(checkout(test_health=MANY, **areas), reports, quick, "-v")
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    assert len(ran.output.splitlines()) <= MOST, ran.output
    assert "121 failed" in ran.out.splitlines()[-1]
    # JUnit stays complete
    assert len(list(junit_of(reports).iter("failure"))) == 121


@pytest.mark.parametrize("asked", ["-rf", "-vv", "--tb=long"])
def test_what_is_asked_for_is_shown(checkout: Checkout, reports: Path, quick: str, asked: str) -> None:
    ran = accept(checkout(test_health=HEAD + FAILS), reports, quick, asked)
    assert ran.code == 1, ran.output
    assert "= FAILURES =" in ran.out
    assert "short test summary info" in ran.out


def test_a_failure_is_shown_once_with_what_was_expected(checkout: Checkout, reports: Path, quick: str) -> None:
    ran = accept(checkout(test_health=HEAD + FAILS), reports, quick)
    assert ran.code == 1, ran.output
    assert "FAILURES" not in ran.out
    assert "short test summary" not in ran.out
    assert ran.out.count("    expected: this") == 1
    assert ran.out.count("    observed: that") == 1
    assert "report.html" in ran.out


def test_the_traceback_of_a_test_that_broke_is_shown(checkout: Checkout, reports: Path, quick: str) -> None:
    ran = accept(checkout(test_health=BREAKS + ERRS), reports, quick)
    assert ran.code == 11, ran.output
    assert "ZeroDivisionError" in ran.out.partition("vlm-acceptance")[0]
    assert "no such card" not in ran.out.partition("= vlm-acceptance")[0]
    assert "no such card" in ran.out


def test_a_module_that_cannot_be_imported_is_shown(checkout: Checkout, reports: Path, quick: str) -> None:
    ran = accept(checkout(test_health=HEAD + FAILS, test_schema="import no_such_module\n"), reports, quick)
    assert ran.code != 0
    assert "no_such_module" in ran.out
