"""What a calibration takes from a run, and what it refuses although every test is only below an uncalibrated bar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.made_context import ACCEPTED, REAL, ROW, attached, counted

from vlm_acceptance.checks.latency import LatencyRow
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.run import calibration
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.workloads.capability import bar_of


def budgets_of(tmp_path: Path, **rows: LatencyRow) -> dict[str, dict[str, float]]:
    """The budgets of a run with these medians."""
    context = counted(attached(tmp_path, REAL))
    context.record.latency |= rows
    part = calibration.proposal(context, ACCEPTED)["parts"]["latency"]
    found: dict[str, dict[str, float]] = part["content"]["latency"]["categories"]
    return found


def test_the_end_to_end_budget_is_that_of_the_longest_answer(tmp_path: Path) -> None:
    row = replace(ROW, ttft_s=0.2, tpot_s=0.03, e2e_s=2.0)
    short = replace(row, tpot_s=None, e2e_s=0.25)
    found = budgets_of(tmp_path, description=row, ocr=short, large_pictures=replace(row, tpot_s=0.01, e2e_s=9.0))
    assert found["description"] == pytest.approx({"ttft_s": 0.3, "tpot_s": 0.045, "e2e_s": 0.3 + 255 * 0.045})
    # too short to measure a time per token: the slowest of the run
    assert found["ocr"] == pytest.approx({"ttft_s": 0.3, "e2e_s": 0.3 + 63 * 0.045})
    # never below 1.5 times the median
    assert found["large_pictures"] == pytest.approx({"ttft_s": 0.3, "tpot_s": 0.015, "e2e_s": 13.5})


def calibrated_by(context: RunContext) -> tuple[dict[str, object], str]:
    """The content of the calibration of a run, and its summary."""
    part = calibration.proposal(context, ACCEPTED)["parts"]["capability"]
    return part["content"], part["summary"]


def test_how_many_offline_answers_agreed_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    context = counted(attached(tmp_path, REAL, vlm_calibrate=str(file)))
    context.record.agreed["ocr/sign-offline"] = 3
    calibration.record(context, ACCEPTED)
    profile = load_profile(str(file), PROFILES).profile
    assert bar_of(profile, "ocr/sign-offline") == 1
    assert bar_of(profile, "ocr/sign") == 6


@pytest.mark.parametrize(
    ("right", "is_refused"), [({"ocr/sign": 2, "ocr/sign-zh": 1}, True), ({"ocr/sign": 3, "ocr/sign-zh": 0}, False)]
)
def test_a_category_that_is_hardly_ever_right_is_not_recorded(
    tmp_path: Path, right: dict[str, int], is_refused: bool
) -> None:
    context = counted(attached(tmp_path, REAL))
    context.record.right |= {key: (count, 8) for key, count in right.items()}
    content, why = calibrated_by(context)
    assert (content == {}) == is_refused
    assert (why == "no question of the category ocr has 3 of 8 right answers") == is_refused


def test_a_large_form_that_is_hardly_ever_right_is_not_recorded(tmp_path: Path) -> None:
    context = counted(attached(tmp_path, REAL))
    context.record.count("ocr/sign-large", 2, 8)
    assert calibrated_by(context) == ({}, "no question of the category ocr in large form has 3 of 8 right answers")


@pytest.mark.parametrize(("jpeg", "is_refused"), [(3, True), (4, True), (5, False)])
def test_routes_that_differ_much_are_named_and_not_recorded(tmp_path: Path, jpeg: int, is_refused: bool) -> None:
    context = counted(attached(tmp_path, REAL))
    for route, right in (("png", 8), ("jpeg", jpeg)):
        test = f"tests/acceptance/test_capability.py::test_category[ocr-{route}]"
        context.record.count("ocr/sign", right, 8, test)
    context.record.count("ocr/sign", 5, 8)  # under load
    content, why = calibrated_by(context)
    assert (content == {}) == is_refused
    named = f"8 in test_capability.py::test_category[ocr-png], {jpeg} in test_capability.py::test_category[ocr-jpeg]"
    assert (f"ocr/sign differ too much between two tests: {named}" in why) == is_refused


def test_an_interrupted_run_is_not_recorded(tmp_path: Path) -> None:
    context = counted(attached(tmp_path, REAL))
    context.record.required = [one.id for one in context.record.results]
    assert calibrated_by(context)[0]
    context.record.required += ["tests/acceptance/test_schema.py::test_a", "tests/acceptance/test_schema.py::test_b"]
    for part in calibration.proposal(context, ACCEPTED)["parts"].values():
        assert part["content"] == {}
        assert part["summary"] == "the run was interrupted: 2 tests did not finish, first test_a"
