"""The first day: its profile, the rows of its runs, and their column in the table of faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import first_day
import first_day_table
import matrix
import pytest
from check_ids import ALL_LOGPROBS, LOGPROBS, OCR, node
from owners_first_day import NOT_REFUSED

from vlm_acceptance.checks.reference_limits import limits_of
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.reference_file import read_about

BODY = "schema::test_completion_body"
FAR = {"shift": "0.22019", "top_in_common": "0.8488", "alarm": "0.0327", "prompts": 129}
NEAR = {"shift": "0.01530", "top_in_common": "0.9900", "alarm": "0.0358", "prompts": 12}


def ran(outcome: str, test: str, properties: dict[str, Any] | None = None) -> dict[str, Any]:
    """A test of a summary."""
    return {"id": node(test), "outcome": outcome, "properties": properties or {}}


def row(*tests: dict[str, Any], fault: str = "int4") -> first_day.FirstDay:
    return first_day.row_of(fault, {"tests": list(tests)}, whole=False)


def loaded(tmp_path: Path, base: str) -> Any:
    return load_profile(str(first_day.write_profile(tmp_path, base)), PROFILES).profile


@pytest.mark.parametrize("base", first_day.KNOWN)
def test_nothing_is_stored_on_the_first_day(base: str, tmp_path: Path) -> None:
    profile = loaded(tmp_path, base)
    assert (profile.capability.golden_answers, profile.logprobs.baseline) == (None, None)
    assert (profile.capability.min_correct, profile.capability.calibrated) == (6, False)
    assert not profile.latency.recorded
    assert profile.logprobs.alarm == load_profile(first_day.REAL, PROFILES).profile.logprobs.alarm
    if profile.mmmu:
        assert (profile.mmmu.known_answers, profile.mmmu.min_correct, profile.mmmu.known_scores) == (None, None, {})
        assert not profile.mmmu.no_limits(profile.references)


def test_the_reference_brings_its_limits() -> None:
    about = read_about(ROOT / first_day.REFERENCE)
    assert about.origin is not None
    limits = limits_of(about.changes, 12)
    assert {"int4", "noise5", "no-bos", "nearest", "norm-eps"} <= set(limits.refused)


def test_only_profiles_of_controls_are_replaced(tmp_path: Path) -> None:
    given = ("-m", "slow", "--vlm-profile=control-cpu", "--vlm-profile=internvl2-2b-ascend", "--vlm-profile=/x.yaml")
    assert first_day.options(["--vlm-baseline=run.csv", "--vlm-set=latency.default={ttft_s: 1}", "-q"], tmp_path) == [
        "-q"
    ]
    made = first_day.options(given, tmp_path)
    own = [f"--vlm-profile={tmp_path / 'first-day-control-cpu.yaml'}", first_day.BESIDE_REFERENCE]
    assert made == [*given[:2], *own, *given[3:]]
    assert first_day.options(["--vlm-profile=control-spm"], tmp_path)[1:] == []


@pytest.mark.parametrize(
    ("tests", "kind"),
    [
        ([ran("failed", LOGPROBS, FAR), ran("passed", OCR)], "reference"),
        ([ran("failed", LOGPROBS, FAR), ran("failed", OCR)], "both"),
        ([ran("passed", LOGPROBS, NEAR), ran("failed", OCR), ran("failed", BODY)], "protocol"),
        ([ran("passed", LOGPROBS, NEAR), ran("failed", OCR)], "answers"),
        ([ran("error", BODY)], "undecided"),
        ([ran("to be calibrated", OCR)], "to calibrate"),
        ([ran("passed", OCR), ran("skipped", BODY)], "accepted"),
        ([], "accepted"),
    ],
)
def test_a_row_says_what_refused_a_fault(tests: list[dict[str, Any]], kind: str) -> None:
    found = row(*tests)
    assert found.kind == kind
    assert found.is_refused == (kind in ("reference", "both", "protocol", "answers"))


def test_the_distance_is_the_one_over_most_prompts() -> None:
    found = row(ran("failed", LOGPROBS, NEAR), ran("failed", ALL_LOGPROBS[0], FAR), ran("failed", OCR, FAR))
    assert found.distance == first_day.Distance(0.22019, 0.8488, 0.0327, 129)
    assert row(ran("failed", LOGPROBS)).distance is None


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [row(ran("failed", LOGPROBS, FAR)), row(ran("error", BODY), fault="caches-idle")]
    for one in rows:
        first_day.write(one, tmp_path)
    assert first_day.read(tmp_path) == {one.fault: one for one in rows}


def test_the_column_is_put_into_the_table_once() -> None:
    faults = [
        matrix.row_of("missing-id", [(node(BODY), "failed")], 1.0, "protocol.body"),
        matrix.row_of("int4", [(node(LOGPROBS), "failed")], 1.0, "numbers"),
    ]
    bare = matrix.table(faults, [])
    rows = {one.fault: one for one in (row(ran("failed", LOGPROBS, FAR)), row(ran("failed", BODY), fault="missing-id"))}
    text = first_day_table.with_first_day(bare, rows)
    assert first_day_table.with_first_day(text, rows) == text
    assert "| others that noticed | first day | s |" in text
    assert " | refused by the reference alone<br>0.2202 nats | 1.0 |" in text
    assert f" | refused: {BODY} | 1.0 |" in text
    assert "2 of 2 faults of a deployment were refused: 1 by what holds for any model" in text
    assert text.count("On the first day") == 1
    assert "|---|---|---|---|---|---|---:|" in text


def test_every_exception_is_a_fault_of_a_deployment_with_its_reason() -> None:
    assert set(NOT_REFUSED) <= matrix.of_deployments()
    assert all(NOT_REFUSED.values())
