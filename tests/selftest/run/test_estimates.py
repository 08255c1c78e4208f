"""What tests cost: recorded figures, and those that a profile says instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import script

from vlm_acceptance.config.options import PROFILES, ROOT
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.run.estimates import Cost, Estimate, Recorded, of_mmmu, of_soak, of_test, read_recorded
from vlm_acceptance.run.requirements import missing_features

FILE = ROOT / "fixtures" / "estimates.yaml"
RECORDED = Recorded(
    engine="e",
    server_s=20,
    offline_s=10,
    soak_per_s=40,
    mmmu_per_s=100,
    tests={"load::test_burst": Cost(requests=16, seconds=0.8), "health::test_x": Cost(requests=3, seconds=0.5)},
)


def profile(control: bool = False, oracle: str = "internvl", **sections: Any) -> Profile:
    model = {"id": "m", "control": control, "pictures": {"oracle": oracle}}
    return Profile.model_validate({"name": "p", "model": model, **sections})


def test_a_test_costs_what_was_recorded() -> None:
    assert of_test("health::test_x", profile(), RECORDED) == Estimate(3, 0.5)
    assert of_test("health::test_new", profile(), RECORDED) == Estimate(None, None)


def test_the_time_goes_with_the_requests_a_profile_says() -> None:
    assert of_test("load::test_burst", profile(load={"burst": 32}), RECORDED) == Estimate(32, 1.6)
    # never recorded, and yet its requests are known
    assert of_test("load::test_large_burst", profile(), RECORDED) == Estimate(64, None)


def test_a_soak_takes_what_the_profile_says_and_its_requests_are_known_of_the_control() -> None:
    load = {"soak_s": 120}
    assert of_soak(profile(control=True, load=load), RECORDED).requests == 4800
    assert of_soak(profile(load=load), RECORDED) == Estimate(None, 120, "a soak of 120 s, as many as are answered")


@pytest.mark.parametrize(
    ("given", "requests", "seconds"),
    [
        ({"mmmu": {}}, 1800, None),  # no budget says how long an answer may take
        ({"mmmu": {}, "oracle": "none"}, 900, None),
        ({"mmmu": {"sighted": {"sample": 120}}, "control": True}, 1920, 19.2),
        ({"mmmu": {"concurrency": 16}, "latency": {"default": {"e2e_s": 10}}}, 1800, 570),
        ({"mmmu": {"engine": "offline"}}, 0, None),
        ({}, None, None),
    ],
)
def test_the_accuracy_run_is_reckoned_from_its_questions(
    given: dict[str, Any], requests: int | None, seconds: float | None
) -> None:
    found = of_mmmu(profile(**given), RECORDED, 900)
    assert (found.requests, found.seconds) == (requests, seconds)


def test_an_accuracy_run_of_unknown_size_is_not_guessed() -> None:
    assert of_mmmu(profile(mmmu={}), RECORDED, None) == Estimate(None, None)


def test_the_recorded_file_names_tests_that_exist() -> None:
    found = read_recorded(FILE)
    for name in found.tests:
        area, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / "tests" / "acceptance" / f"test_{area}.py").read_text("utf-8"), name


def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "estimates.yaml"
    wrong.write_text("engine: e\ntests: {a: {requests: -1, seconds: 0}}\n", "utf-8")
    for path in (wrong, tmp_path / "none.yaml"):
        with pytest.raises(UsageProblem) as told:
            read_recorded(path)
        assert "\n" not in str(told.value)


def recorded_run(folder: Path, slower: float) -> Path:
    """A run of a few tests, its times multiplied."""
    took = {"test_health": {"test_readiness[process]": 30, "test_readiness[port]": 0, "test_x[a]": 1, "test_x[b]": 3}}
    took |= {"test_load": {"test_soak_is_answered": 20}, "test_mmmu": {"test_score": 2}}
    cases = "".join(
        f'<testcase classname="tests.acceptance.{module}" name="{name}" time="{seconds * slower}" />'
        for module, tests in took.items()
        for name, seconds in tests.items()
    )
    folder.mkdir()
    (folder / "junit.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", "utf-8")
    seen = [("health", "test_readiness[process]", {"seen": "pid 1 (after 0.0 s)"})]
    seen += [("health", "test_readiness[port]", {"seen": f"port 8000 is ours (after {20 * slower:.1f} s)"})]
    seen += [("load", "test_soak_is_answered", {"requests_per_s": "40.00"})]
    rows = [{"id": f"tests/acceptance/test_{area}.py::{name}", "properties": told} for area, name, told in seen]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    asked = {"test": "tests/acceptance/test_health.py::test_x[b]"}
    (folder / "exchanges.jsonl").write_text(f"{json.dumps(asked)}\n" * 4, "utf-8")
    (folder / "mmmu_val.jsonl").write_text("{}\n" * 100, "utf-8")
    return folder


def test_every_check_that_the_control_is_asked_has_a_cost() -> None:
    lacks = missing_features(load_profile("control-cpu", PROFILES).profile, launched=True, has_numbers=True)
    rates = ("mmmu::", "load::test_soak_")  # made once for several checks
    asked = [check.id for check in script("catalogue").checks() if not lacks.keys() & set(check.needs)]
    recorded = read_recorded(FILE).tests
    assert [ident for ident in asked if not ident.startswith(rates) and ident not in recorded] == []


def test_a_run_that_is_not_whole_is_no_source_of_costs(tmp_path: Path) -> None:
    whole, attached = recorded_run(tmp_path / "whole", 1), recorded_run(tmp_path / "attached", 1)
    rows = (attached / "results.jsonl").read_text("utf-8").replace("(after", "(served for")
    (attached / "results.jsonl").write_text(rows, "utf-8")
    (attached / "mmmu_val.jsonl").unlink()
    with pytest.raises(SystemExit, match="no server_s"):
        script("estimates").written("an engine", [whole, attached])


def test_costs_are_written_from_the_quickest_of_several_runs(tmp_path: Path) -> None:
    file = tmp_path / "estimates.yaml"
    runs = [recorded_run(tmp_path / "slow", 2), recorded_run(tmp_path / "quick", 1)]
    file.write_text(script("estimates").written("an engine", runs), "utf-8")
    found = read_recorded(file)
    assert (found.engine, found.server_s, found.offline_s) == ("an engine", 20, 10)
    assert (found.soak_per_s, found.mmmu_per_s) == (40, 50)
    ready = Cost(requests=0, seconds=0)  # a start is no test's own time
    assert found.tests == {"health::test_readiness": ready, "health::test_x": Cost(requests=2, seconds=2)}
