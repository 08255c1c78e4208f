"""Runs as a user starts them, against an endpoint that answers at once: outcomes, verdicts, exit codes, reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.pages import sound
from tests.support.runs import ERRS, FAILS, HEAD, PASSES, accept, junit_of, results_of, summary_of

EVERY_KIND = (
    HEAD
    + PASSES
    + FAILS
    + ERRS
    + '''
def test_asserts(context):
    """It MUST hold."""
    assert 1 == 2, "one is not two"


def test_breaks():
    """It MUST not divide."""
    1 / 0


def test_breaks_after_a_finding(findings):
    """It MUST be this, and continue."""
    findings.add([WRONG])
    1 / 0


@pytest.fixture
def refused():
    raise DeploymentFailure("refused in a fixture")


@pytest.fixture
def broken():
    raise EnvironmentProblem("no disk")


@pytest.fixture
def breaks_afterwards():
    yield
    raise OSError("cannot clean up")


def test_fixture_refuses(refused):
    """It MUST be ready."""


def test_fixture_breaks(broken):
    """It MUST be there."""


def test_fails_and_breaks_afterwards(findings, breaks_afterwards):
    """It MUST be this."""
    findings.add([WRONG])


def test_passes_and_breaks_afterwards(breaks_afterwards):
    """It MUST be clean."""


def test_is_skipped():
    """It MUST be reachable."""
    pytest.skip("no network")


def test_never_ran():
    """It MUST have run."""
    raise NotRun("the engine is gone")


@pytest.mark.parametrize("text", ["a", "<b>", "c d"])
def test_many(text):
    """Each MUST be itself."""


@pytest.mark.needs("launched")
def test_launched_only():
    """An engine that the suite started MUST end."""
'''
)
OUTCOMES = {
    "passed": {"test_passes", "test_many[a]", "test_many[<b>]", "test_many[c d]"},
    "failed": {
        "test_fails",
        "test_asserts",
        "test_breaks_after_a_finding",
        "test_fixture_refuses",
        "test_fails_and_breaks_afterwards",
    },
    "error": {"test_errs", "test_breaks", "test_fixture_breaks", "test_passes_and_breaks_afterwards"},
    "skipped": {"test_is_skipped"},
    "not run": {"test_never_ran"},
}


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with QuickServer() as server:
        yield server.url


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def names(rows: list[dict[str, object]], outcome: str) -> set[str]:
    return {str(row["id"]).rpartition("::")[2] for row in rows if row["outcome"] == outcome}


def test_every_kind_of_outcome_is_recorded_as_what_it_is(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=EVERY_KIND), reports, quick)
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    rows = results_of(reports)
    for outcome, expected in OUTCOMES.items():
        assert names(rows, outcome) == expected
        assert names(summary_of(reports)["tests"], outcome) == expected
    cleaned = next(row for row in rows if "fails_and_breaks_afterwards" in row["id"])
    assert "afterwards: " in cleaned["message"]
    assert "cannot clean up" in cleaned["message"]
    both = next(row for row in rows if "breaks_after_a_finding" in row["id"])
    assert [found["check"] for found in both["findings"]] == ["a.check", "test.broken"]
    left_out = summary_of(reports)["not_applicable"]
    assert list(left_out) == ["tests/acceptance/test_health.py::test_launched_only"]
    assert "attached" in left_out["tests/acceptance/test_health.py::test_launched_only"]
    check_junit(reports, rows)
    check_page(reports)


def check_page(reports: Path) -> None:
    """The page of a run is whole once the run has ended: nothing that it links is missing, and it says what was set."""
    folder = reports / "latest"
    read = sound((folder / "report.html").read_text("utf-8"))
    links = {unquote(str(attrs["href"])) for attrs in read.all("a")}
    files = {link for link in links if not link.startswith(("#", "http"))}
    assert {"junit.xml", "verdict.txt", "results.jsonl", "observations/profile.json"} <= files
    assert [name for name in files if not (folder / name).exists()] == []
    assert re.search(r"model\.id quick-standin \S+", read.text("table"))
    assert "without setup and teardown" not in read.text("header")


def check_junit(reports: Path, rows: list[dict[str, Any]]) -> None:
    context = junit_of(reports)
    cases = {(case.get("classname"), case.get("name")): case for case in context.iter("testcase")}
    assert len(cases) == len(list(context.iter("testcase"))) == len(rows)
    whole = {("tests.acceptance.test_health", row["id"].rpartition("::")[2]): row["wall_s"] for row in rows}
    assert [name for name, case in cases.items() if float(case.get("time") or 0) > whole[name] + 0.01] == []
    kinds = {"failed": "failure", "error": "error", "skipped": "skipped", "not run": "skipped"}
    for outcome, tag in kinds.items():
        for (_, name), case in cases.items():
            if name in OUTCOMES[outcome]:
                assert {child.tag for child in case} - {"properties", "system-out", "system-err"} == {tag}, name
    facts = {item.get("name"): item.get("value") for item in context.findall("properties/property")}
    assert (facts["profile"], facts["model"], facts["control"]) == ("quick", "quick-standin", "no")
    assert facts["deployment"] == "endpoint only"
    assert {"suite", "statement", "profile_sha256", "mode", "device", "narrowed", "url"} <= set(facts)
    fails = cases["tests.acceptance.test_health", "test_fails"]
    own = {item.get("name"): item.get("value") for item in fails.findall("properties/property")}
    assert own["figure"] == "3"
    assert Path(str(own["evidence"]), "request.json").is_file()
    failure = fails.find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("that; expected this")
    assert re.search(r"repeat:   python3 \S+/repeat\.py http", str(failure.text))
    assert (reports / "latest" / "junit.xml").read_bytes() == (reports / "junit.xml").read_bytes()


def test_a_whole_run_without_a_flaw_is_accepted(checkout: Callable[..., Path], reports: Path, quick: str) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES), reports, quick, "-x")
    assert ran.code == 0, ran.output
    assert "ACCEPTED  quick-standin" in ran.out
    assert summary_of(reports)["verdict"] == "accepted"
    assert (reports / "latest" / "verdict.txt").read_text("utf-8").startswith("ACCEPTED  ")


def test_an_error_of_the_suite_gives_no_verdict_and_rejects_no_deployment(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + ERRS), reports, quick)
    assert ran.code == 11
    assert "INCONCLUSIVE  " in ran.out
    assert "no such card" in summary_of(reports)["reason"]


def test_an_endpoint_that_does_not_answer_is_an_environment_error(checkout: Callable[..., Path], reports: Path) -> None:
    ran = accept(checkout(test_health=HEAD + FAILS + PASSES), reports, "http://127.0.0.1:9")
    assert ran.code == 10, ran.output
    assert "INCONCLUSIVE (environment)  " in ran.out
    assert "nothing answers at http://127.0.0.1:9" in summary_of(reports)["reason"]
    assert [row["outcome"] for row in results_of(reports)] == ["error", "not run"]
    assert junit_of(reports).get("errors") == "1"


def test_an_endpoint_that_serves_another_model_is_one_failure(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    root = checkout(test_health=HEAD + PASSES + FAILS)
    ran = accept(root, reports, quick, "--vlm-set=model.id=another")
    assert ran.code == 1, ran.output
    assert [row["outcome"] for row in results_of(reports)] == ["failed", "not run"]


@pytest.mark.parametrize(
    ("args", "how"),
    [
        (["-k", "passes"], "-k 'passes'"),
        (["tests/acceptance/test_health.py::test_passes"], "only some tests were named"),
        (["tests/acceptance/test_health.py"], "only some tests were named"),
        (["--deselect", "tests/acceptance/test_schema.py::test_passes"], "--deselect"),
        (["--ignore", "tests/acceptance/test_schema.py"], "only some tests were named, --ignore"),
        (["-m", "smoke and not slow"], "-m 'smoke and not slow'"),
    ],
    ids=["keyword", "node", "file", "deselect", "ignore", "marker"],
)
def test_a_narrowed_run_accepts_nothing(
    args: list[str], how: str, checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    other = PASSES.replace("test_passes", "test_other")
    root = checkout(test_health=HEAD + PASSES + other, test_schema=HEAD + PASSES)
    ran = accept(root, reports, quick, *args)
    assert ran.code == 11, ran.output
    assert "NO VERDICT  " in ran.out
    assert summary_of(reports)["narrowed"] == how


def test_a_narrowed_run_with_a_failure_rejects_and_the_failed_alone_accept_nothing(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    root = checkout(test_health=HEAD + PASSES + FAILS)
    ran = accept(root, reports, quick, "--lf", "-k", "fails or passes")
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    (root / "tests" / "acceptance" / "test_health.py").write_text(HEAD + PASSES + PASSES.replace("passes", "fails"))
    again = accept(root, reports.with_name("again"), quick, "--lf")
    assert again.code == 11, again.output
    assert "NO VERDICT  " in again.out
    assert len(results_of(reports.with_name("again"))) == 1


def test_a_run_that_stopped_at_an_error_accepts_nothing(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + ERRS + PASSES), reports, quick, "-x")
    assert ran.code == 11, ran.output
    assert "NO VERDICT  " in ran.out
    assert summary_of(reports)["areas"]["health"] == {"error": 1, "not run": 1}


def test_nothing_selected_keeps_the_exit_code_of_pytest(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES), reports, quick, "-k", "nosuch")
    assert ran.code == 5
    assert not (reports / "runs").exists()


def test_a_module_that_cannot_be_imported_keeps_the_exit_code_of_pytest(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES, test_schema="import nosuch\n"), reports, quick)
    assert ran.code == 2
    assert "ACCEPTED" not in ran.out
