"""Broken tests by cause: the causes of the summary first, then the classes of findings."""

from __future__ import annotations

from typing import Any

from vlm_acceptance.report.page_causes import causes_of
from vlm_acceptance.report.stored_run import Test


def made(name: str, outcome: str = "failed", title: str = "", message: str = "it broke", pictures: int = 0) -> Test:
    found = [{"findings": [{"check": "c", "title": title, "where": ""}], "pictures": ["p"] * pictures}] if title else []
    return Test(name, f"tests/x.py::{name}", "area", outcome, 0.5, "It MUST.", message, "", (), found)


def shown(causes: list[dict[str, Any]], tests: list[Test]) -> list[tuple[str, list[str]]]:
    return [(one.title, [test.name for test in one.tests]) for one in causes_of({"causes": causes}, tests)]


BLIND = {
    "id": "blind",
    "title": "The picture was not seen",
    "advice": "Look.",
    "tests": ["tests/x.py::b", "tests/x.py::a"],
}


def test_causes_of_the_summary_come_first_and_each_test_is_in_one() -> None:
    tests = [made("a", title="A"), made("b", title="B"), made("c", title="C"), made("d", outcome="passed")]
    again = {**BLIND, "title": "Another"}
    assert shown([BLIND, again], tests) == [("The picture was not seen", ["b", "a"]), ("C", ["c"])]


def test_without_causes_tests_are_grouped_by_their_first_finding_most_tests_first() -> None:
    tests = [made("a", title="A"), made("b", title="B"), made("c", title="B")]
    assert shown([], tests) == [("B", ["b", "c"]), ("A", ["a"])]


def test_errors_come_after_failures_and_are_grouped_whatever_numbers_they_name() -> None:
    errors = [made(name, "error", message=f"port {number} is taken") for name, number in (("a", 1), ("b", 22))]
    found = causes_of({"causes": []}, [*errors, made("c", title="C")])
    assert [(one.title, one.is_failure) for one in found] == [("C", True), ("port … is taken", False)]


def test_a_cause_that_names_only_tests_that_passed_is_not_shown() -> None:
    assert shown([BLIND], [made("a", outcome="passed")]) == []


SIGN = {"check": "c", "where": "", "expected": "cut"}


def shown_of(cause: dict[str, Any], *tests: Test) -> list[str]:
    (found,) = causes_of({"causes": [cause]}, tests)
    return [f"{finding['title']} {len(evidence['pictures'])}" for evidence, finding in found.examples]


def test_the_sign_of_a_cause_is_its_first_example_and_a_picture_the_second() -> None:
    assert shown_of({**BLIND, "sign": SIGN}, made("b", title="B"), made("a", title="A", pictures=1)) == ["B 0", "A 1"]


def test_a_sign_with_a_picture_is_enough() -> None:
    assert shown_of({**BLIND, "sign": SIGN}, made("b", title="B", pictures=2), made("a", title="A")) == ["B 2"]


def test_without_a_sign_evidence_with_a_picture_is_the_example() -> None:
    assert shown_of(BLIND, made("b", title="B"), made("a", title="A", pictures=1)) == ["A 1"]
    assert shown_of({**BLIND, "sign": {"message": "x"}}, made("b", title="B"), made("a", title="A")) == ["B 0"]
    assert shown_of(BLIND, made("b")) == []
