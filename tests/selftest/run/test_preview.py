"""`--vlm-plan` prints what a run would do; nothing is started, sent or written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import Ran, pytest_run, warm_run

from vlm_acceptance.run.requirements import AREAS

# neither an engine nor an accelerator library can be imported
SITE = """
import sys
NAMES = ("vllm", "vllm_ascend", "torch", "torch_npu", "modelscope", "transformers", "numpy")
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def row(ran: Ran, name: str) -> list[str]:
    """Tests, requests and time of one row; [] where there is none."""
    found = re.search(rf"^  {name} +(\d+) +(\d+\+?|-) +(\d+ \w+(?: \d+ min)?\+?|-)$", ran.out, re.MULTILINE)
    return list(found.groups()) if found else []


def stored_run(reports: Path, name: str, tests: dict[str, tuple[int, float]], profile: str = "control-cpu") -> Path:
    """A run's folder with these tests (`area::name`), each with its requests and seconds."""
    folder = reports / "runs" / name
    folder.mkdir(parents=True)
    cases, asked = "", []
    for ident, (requests, seconds) in tests.items():
        area, _, test = ident.partition("::")
        cases += f'<testcase classname="tests.acceptance.test_{area}" name="{test}" time="{seconds}" />'
        asked += [f"tests/acceptance/test_{area}.py::{test}"] * requests
    (folder / "junit.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", "utf-8")
    (folder / "exchanges.jsonl").write_text("".join(json.dumps({"test": test}) + "\n" for test in asked), "utf-8")
    (folder / "summary.json").write_text(json.dumps({"scope": {"profile": profile}}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The plan of a whole run on the control, and the folder its reports would go to."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "sitecustomize.py").write_text(SITE, "utf-8")
    reports = folder / "reports"
    args = ("--vlm-plan", "-m", "smoke or slow", "--vlm-profile=control-cpu", f"--vlm-reports={reports}")
    return pytest_run(*args, "--vlm-soak-s=150", env={"PYTHONPATH": str(folder)}), reports


def test_a_plan_ends_well_and_leaves_nothing(control: tuple[Ran, Path]) -> None:
    ran, reports = control
    assert ran.code == 0, ran.output
    assert "nothing was started or sent" in ran.out
    assert "passed" not in ran.out
    assert not reports.exists()


def test_areas_have_their_tests_and_the_engines_and_long_parts_are_named(control: tuple[Ran, Path]) -> None:
    ran, _ = control
    assert row(ran, "health")[0] == "13"
    assert row(ran, "mmmu")[0] == "7"
    assert sum(int(row(ran, area)[0]) for area in AREAS if row(ran, area)) == int(row(ran, "total")[0])
    assert "  starts: offline engine, at most 5 min; server, at most 5 min to start" in ran.out.splitlines()
    assert "  soak: 2 min, " in ran.out
    assert "accuracy run: 120 questions, 120 again with blank pictures (mmmu.engine: server)" in ran.out


def test_without_a_stored_run_requests_and_times_are_reported_as_unknown(control: tuple[Ran, Path]) -> None:
    ran, reports = control
    assert f"requests and times are unknown: no stored run of this profile in {reports}" in ran.out
    assert row(ran, "total")[1:] == ["-", "-"]


def test_requests_and_times_are_those_of_the_newest_stored_run_of_the_profile(tmp_path: Path) -> None:
    health = ("health::test_health_answers", "health::test_version_is_reported", "health::test_metrics_count")
    ours = {health[0]: (1, 20.0), health[1]: (2, 0.4), "schema::test_stream": (7, 9.0)}
    stored_run(tmp_path, "20260101T000000Z-control-cpu", dict.fromkeys(health, (90, 90.0)))
    stored_run(tmp_path, "20260102T000000Z-control-cpu", ours)
    stored_run(tmp_path, "20260103T000000Z-control-cpu", {"load::test_large_burst": (64, 1.0)})
    stored_run(tmp_path, "20260104T000000Z-control-cpu-2", dict.fromkeys(health, (50, 50.0)), "control-cpu-2")
    torn = stored_run(tmp_path, "20260105T000000Z-control-cpu", dict.fromkeys(health, (40, 40.0)))
    (torn / "summary.json").write_text('{"scope"', "utf-8")
    args = ("--vlm-plan", "-m", "smoke", "--vlm-profile=control-cpu", f"--vlm-reports={tmp_path}")
    ran = warm_run(*args, "-k", " or ".join(name.partition("::")[2] for name in health))
    assert ran.code == 0, ran.output
    # the newest run that has one of these tests; it lacks the third
    assert "from 20260102T000000Z-control-cpu" in ran.out
    assert row(ran, "health") == row(ran, "total") == ["3", "3+", "20 s+"]
    assert "soak" not in ran.out
    assert "accuracy run" not in ran.out


def test_what_is_left_out_has_its_reason(control: tuple[Ran, Path]) -> None:
    ran, _ = control
    assert re.search(r"left out, 3: the profile's device is cpu: environment::test_torch_npu_imports, ", ran.out)
    assert "test_health" not in ran.out  # names only with -v


def test_an_attached_run_leaves_out_what_needs_our_own_engine_and_sends_nothing(tmp_path: Path) -> None:
    with QuickServer() as server:
        args = ("--vlm-profile=internvl2-2b-ascend", f"--vlm-base-url={server.url}", f"--vlm-mmmu-data={tmp_path}")
        ran = warm_run("--vlm-plan", "-m", "slow", *args)
        assert list(server.seen) == []
    assert ran.code == 0, ran.output
    assert "starts:" not in ran.out
    assert "accuracy run: 900 questions (mmmu.engine: server); the data are not prepared here" in ran.out
    assert re.search(r"left out, \d+: the endpoint is attached: .*load::test_soak_does_not_leak", ran.out)


def test_names_are_listed_with_v_and_a_partial_run_is_named() -> None:
    ran = warm_run("--vlm-plan", "-v", "-v", "-m", "smoke", "--vlm-profile=control-cpu", "-k", "version_is_reported")
    assert ran.code == 0, ran.output
    assert "    health::test_version_is_reported" in ran.out.splitlines()
    assert row(ran, "total")[0] == "1"
    assert "partial run (-k 'version_is_reported')" in ran.out
    offline = warm_run("--vlm-plan", "-m", "smoke", "--vlm-profile=control-cpu", "-k", "test_weights_are_whole")
    assert "starts:" not in offline.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--vlm-base-url=http://127.0.0.1:9"], ["--vlm-plan", "--vlm-profile", "control-cpu"]),
        (["--vlm-profile=contrl-cpu"], ["'contrl-cpu'", "mean 'control-cpu'"]),
        (["--vlm-profile=control-cpu", "--vlm-resume=nowhere"], ["--vlm-resume", "nowhere"]),
    ],
)
def test_what_is_wrong_is_one_line(args: list[str], words: list[str]) -> None:
    ran = warm_run("--vlm-plan", *args)
    assert ran.code == 4, ran.output
    assert len(ran.problems) == 1, ran.output
    for word in words:
        assert word in ran.problems[0]
