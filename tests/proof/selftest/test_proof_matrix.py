"""The matrix: a fault that its owners missed or met in another way is a flaw."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import matrix
import owners
import owners_causes
import part
import pytest
from cause_scores import with_causes
from faults_table import lines_of, merged
from matrix import Row, row_of

FOLDER = "tests/acceptance/test_schema.py::"
BODY, IDS = "test_completion_body", "test_ids_are_unique"


def seen(fault: str, cause: str = "", **outcomes: str) -> Row:
    return row_of(fault, ((FOLDER + test, outcome) for test, outcome in outcomes.items()), 1.0, cause)


def test_a_fault_that_all_its_owners_refuse_is_proved() -> None:
    row = seen("missing-id", **{BODY: "failed", IDS: "failed", "test_stream": "passed"})
    assert (row.flaw, row.refused_by, row.passed) == ("", (f"schema::{BODY}", f"schema::{IDS}"), 1)


@pytest.mark.parametrize("outcome", ["passed", "error", "not run"])
def test_an_owner_that_does_not_refuse_is_a_flaw(outcome: str) -> None:
    row = seen("missing-id", **{BODY: "failed", IDS: outcome})
    assert IDS in row.flaw
    assert f"**schema::{IDS} did not**" in matrix.table([row], [])


def test_a_fault_that_only_others_refuse_is_a_flaw() -> None:
    assert seen("missing-id", **{BODY: "passed", IDS: "passed", "test_stream": "failed"}).flaw


def test_nothing_run_is_a_flaw() -> None:
    assert seen("missing-id").flaw


def undecided(owner: str, more: tuple[tuple[str, str], ...] = ()) -> Row:
    (name,) = owners.WIRE_ERRORS["caches-idle"]
    area, _, test = name.partition("::")
    return row_of("caches-idle", ((f"tests/acceptance/test_{area}.py::{test}", owner), *more), 1.0)


def test_faults_of_the_environment_must_be_errors() -> None:
    assert undecided("error").flaw == ""
    assert undecided("failed").flaw
    assert undecided("passed").flaw
    assert undecided("error", ((FOLDER + BODY, "failed"),)).flaw


def test_what_the_suite_survives_must_have_been_observed() -> None:
    borne = Row("killed", "ours", "borne", (), (), (), 0, 1.0, "nothing is left")
    assert borne.flaw == ""
    assert Row("killed", "ours", "borne", (), (), (), 0, 1.0).flaw


def test_the_file_names_what_was_not_tried(tmp_path: Path) -> None:
    row = seen("missing-id", **{BODY: "failed", IDS: "failed"})
    missing = matrix.write([row], tmp_path, "part", full=False)
    assert len(missing) == len(matrix.wanted()) - 1
    whole = json.loads((tmp_path / "part.json").read_text("utf-8"))
    assert (whole["missing"], whole["faults"][0]["refused_by"]) == (missing, [f"schema::{BODY}", f"schema::{IDS}"])
    assert (tmp_path / "part.md").read_text("utf-8").count("| missing-id |") == 1


def test_every_fault_of_the_part_is_one() -> None:
    assert set(matrix.wanted()) >= part.PART


def test_no_fault_is_owned_twice() -> None:
    families = [faults for table in (owners.REFUSED, owners.ERRORS) for faults in table.values()]
    names = [fault for faults in (*families, owners.OURS) for fault in faults]
    assert sorted(names) == sorted(set(names))


def test_a_wrong_first_cause_is_shown_beside_those_that_were_expected() -> None:
    causes = {"missing-id": "protocol.body", "ids-repeated": "errors", "missing-model": ""}
    text = matrix.table([seen(fault, cause, **{BODY: "failed"}) for fault, cause in causes.items()], [])
    assert "| missing-id | wire | protocol.body | " in text
    assert "| ids-repeated | wire | **errors**, not protocol.body | " in text
    assert "| missing-model | wire | **none**, not protocol.body | " in text
    assert "Of 1 of 3 faults" in text


def test_causes_of_stored_runs_are_put_into_a_table() -> None:
    rows = [
        seen("missing-id", "errors", **{BODY: "failed"}),
        seen("missing-usage", "protocol.usage", **{BODY: "failed"}),
    ]
    text = matrix.table(rows, [])
    bare = "\n".join(
        " | ".join(cells[:2] + cells[3:]) if len(cells := line.split(" | ")) > 4 else line for line in text.splitlines()
    )
    again = with_causes(bare, {"missing-id": "protocol.body", "missing-usage": "protocol.usage"})
    assert "| missing-id | wire | protocol.body | " in again
    assert "| missing-usage | wire | protocol.usage | " in again
    assert "Of 2 of 2 faults" in again
    assert with_causes(again, {"missing-id": "errors"}) == text.rstrip("\n") + "\n"


def test_the_recorded_matrix_is_whole_and_of_these_faults() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "faults.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert {row[0].removeprefix("| "): row[1] for row in rows} == matrix.wanted()
    assert "0 were not tried" in text
    assert "did not" not in text
    causes = {row[0].removeprefix("| "): row[2] for row in rows if row[1] != "ours" and row[2]}
    wrong = [fault for fault, cause in causes.items() if cause not in owners_causes.EXPECTED[fault]]
    assert len(wrong) <= len(causes) // 10, wrong
    assert matrix.count_of_causes(causes) in text


def test_rows_that_were_planted_again_take_the_places_of_theirs() -> None:
    first, again = (
        seen("missing-id", cause, **{BODY: "failed", IDS: "failed"}) for cause in ("errors", "protocol.body")
    )
    new = seen("ids-repeated", "protocol.body", **{IDS: "failed"})
    flawed = seen("missing-usage", **{BODY: "passed"})
    rows = [{**asdict(row), "flaw": row.flaw} for row in (new, again, flawed)]
    text, missing = merged(matrix.table([first], []), lines_of(rows))
    assert [line.split(" | ")[0] for line in text.splitlines() if " | wire | " in line] == [
        "| missing-id",
        "| ids-repeated",
    ]
    assert "| missing-id | wire | protocol.body | " in text
    assert "Of 2 of 2 faults" in text
    assert "missing-usage" in missing
