"""The catalogue of checks: it agrees with the sources, and every check has a fault that it detects."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.runs import script

from vlm_acceptance.cases.edge_inputs import load_inputs
from vlm_acceptance.core.causes import CAUSES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    """The script, as a module."""
    return script("catalogue")


MODULE = '''
import pytest
SMOKE = [pytest.mark.smoke]
pytestmark = [pytest.mark.slow, pytest.mark.needs("launched")]

@pytest.mark.needs("oracle", "launched")
@pytest.mark.parametrize("size", ["a|b"])
def test_one(ask):
    """It MUST be a|b.

    Not this line.
    """

def helper(): ...
'''


def test_a_check_is_read_with_its_marks_needs_and_sentence(catalogue: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_load.py").write_text(MODULE, "utf-8")
    (tmp_path / "test_health.py").write_text(
        'import pytest\n@pytest.mark.smoke\ndef test_first():\n    """It MUST."""\n'
    )
    (tmp_path / "conftest.py").write_text("def test_none(): ...\n", "utf-8")
    first, one = catalogue.checks(tmp_path)
    assert (first.id, first.mark, first.needs) == ("health::test_first", "smoke", ())
    assert (one.id, one.mark, one.needs) == ("load::test_one", "slow", ("launched", "oracle"))
    text = catalogue.table([first, one], {"load::test_one": ["slow-down", "port-held (error)"]})
    assert r"| `load::test_one` | slow | launched, oracle | It MUST be a\|b. | slow-down, port-held (error) |" in text
    assert "| `health::test_first` | smoke |  | It MUST. | none yet |" in text
    assert "2 checks: 1 smoke, 1 slow." in text


def test_faults_are_counted_by_function(catalogue: ModuleType, tmp_path: Path) -> None:
    owners = tmp_path / "owners.py"
    owners.write_text(
        'REFUSED = {"wire": {"cut": ("a::test_x[1]", "a::test_x[2]", "b::test_y")}, "made": {"bgr": ("a::test_x",)}}\n'
        'ERRORS = {"wire": {"gone": ("b::test_y[z]",)}}\n',
        "utf-8",
    )
    assert catalogue.faults(owners) == {"a::test_x": ["cut", "bgr"], "b::test_y": ["cut", "gone (error)"]}


def test_the_catalogue_agrees_with_the_sources(catalogue: ModuleType) -> None:
    made = catalogue.table(catalogue.checks(), catalogue.faults())
    assert catalogue.CATALOGUE.read_text("utf-8") == made, "run `make catalogue`"


def test_the_table_of_causes_agrees_with_the_sources(catalogue: ModuleType) -> None:
    assert catalogue.CAUSES.read_text("utf-8") == catalogue.causes_page(), "run `make catalogue`"


def test_every_cause_has_its_row_with_advice(catalogue: ModuleType) -> None:
    rows = [line.split(" | ") for line in catalogue.causes_page().splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(CAUSES)
    assert all(row[1] and row[2] for row in rows)
    blind = next(row for row in rows if row[0] == "| `picture.unseen`")
    assert "the engine gets no picture" in blind[3]


def test_every_check_has_a_fault(catalogue: ModuleType) -> None:
    owned = catalogue.faults()
    bare = {check.id for check in catalogue.checks() if check.id not in owned}
    assert bare == set(), "give each a fault in tests/proof/owners.py"


def test_every_owner_is_a_check(catalogue: ModuleType) -> None:
    assert set(catalogue.faults()) - {check.id for check in catalogue.checks()} == set()


def test_every_edge_input_and_every_stage_has_a_fault(catalogue: ModuleType) -> None:
    owned = runpy.run_path(str(catalogue.OWNERS))
    tables = [faults for kind in ("REFUSED", "ERRORS") for faults in owned[kind].values()]
    named = {owner for faults in tables for owners in faults.values() for owner in owners}
    inputs = [
        f"edge_inputs::test_{'' if row.smoke else 'rare_'}edge_input[{row.id}]"
        for row in load_inputs(catalogue.ROOT / "fixtures" / "edge_inputs.yaml")
    ]
    stages = [f"health::test_readiness[{stage}]" for stage in ("process", "port", "health", "model", "text", "picture")]
    assert {test for test in (*inputs, *stages) if test not in named} == set()
