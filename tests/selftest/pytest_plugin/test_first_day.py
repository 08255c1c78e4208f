"""A first day: what is only below a bar that was never calibrated is neither a pass nor a failure, in every report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import FAILS, HEAD, PASSES, accept, junit_of, results_of, summary_of

BELOW = '''
from vlm_acceptance.core import finding_classes as kinds

def test_reads(client, findings, context):
    """It MUST read."""
    findings.judges("ocr")
    findings.add([Finding(kinds.ANSWER_COUNT, "6 of 8", "5 of 8", "sign")], client.chat("one two"))

def test_is_fast(client, findings):
    """It MUST be fast."""
    findings.add([Finding(kinds.LATENCY_TTFT, "1 s", "2 s", "ocr")], client.chat("one two"))
'''
FATAL_TOO = '''
def test_reads_and_mixes_up(client, findings):
    """It MUST read."""
    found = [Finding(kind, "this", "that") for kind in (kinds.ANSWER_COUNT, kinds.ANSWER_FOREIGN)]
    findings.add(found, client.chat("one two"))
'''
CALIBRATED = ("--vlm-set=capability.calibrated=true", "--vlm-set=latency.recorded=true")


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with QuickServer() as server:
        yield server.url


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def outcomes(reports: Path) -> dict[str, str]:
    return {row["id"].rpartition("::")[2]: row["outcome"] for row in results_of(reports)}


def test_below_an_uncalibrated_bar_is_inconclusive_in_every_report(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + BELOW), reports, quick)
    assert ran.code == 11, ran.output
    assert "INCONCLUSIVE (to be calibrated)  " in ran.out
    assert outcomes(reports) == {
        "test_passes": "passed",
        "test_reads": "to be calibrated",
        "test_is_fast": "to be calibrated",
    }
    summary = summary_of(reports)
    assert (summary["verdict"], summary["exit_code"]) == ("inconclusive", 11)
    assert summary["areas"] == {"health": {"passed": 1, "to be calibrated": 2}}
    assert summary["reason"].startswith("2 tests are below bars that were never calibrated for this deployment")
    suite = junit_of(reports)
    assert (suite.get("errors"), suite.get("failures"), suite.get("skipped")) == ("2", "0", "0")
    (case,) = [case for case in suite.iter("testcase") if case.get("name") == "test_reads"]
    (error,) = case.findall("error")
    assert "below a bar that was never calibrated: sign: 5 of 8; expected 6 of 8" in (error.text or "")
    named = {found.get("name"): found.get("value") for found in case.iter("property")}
    assert (named["category"], named["guide_name"]) == ("ocr", "TextVQA")
    page = (reports / "latest" / "report.html").read_text("utf-8")
    assert 'class="badge to-be-calibrated"' in page
    assert "5 of 8" in page


def test_the_same_findings_reject_once_the_profile_is_calibrated(
    checkout: Callable[..., Path], reports: Path, quick: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + BELOW), reports, quick, *CALIBRATED)
    assert ran.code == 1, ran.output
    assert outcomes(reports) == {"test_passes": "passed", "test_reads": "failed", "test_is_fast": "failed"}


@pytest.mark.parametrize("wrong", [FAILS, FATAL_TOO], ids=["another failure", "a fatal finding beside it"])
def test_what_no_calibration_can_accept_rejects_on_the_first_day(
    checkout: Callable[..., Path], reports: Path, quick: str, wrong: str
) -> None:
    ran = accept(checkout(test_health=HEAD + PASSES + BELOW + wrong), reports, quick)
    assert ran.code == 1, ran.output
    assert "REJECTED  " in ran.out
    assert "vlm_acceptance.run.calibrate" not in ran.out
    assert list(outcomes(reports).values()).count("failed") == 1
