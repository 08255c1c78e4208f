"""`--vlm-plan`: what a run would do is said in lines; nothing is started, asked or written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import QuickServer
from tests.support.runs import Ran, pytest_run

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
    found = re.search(rf"^  {name} +(\d+)? +(\d+\+?) +([\d]+ \w+(?: \d+ min)?\+?)(  |$)", ran.out, re.MULTILINE)
    return list(found.groups()[:3]) if found else []


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The plan of a whole run on the control, and the folder its reports would go to."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "sitecustomize.py").write_text(SITE, "utf-8")
    reports = folder / "reports"
    args = ("--vlm-plan", "-m", "smoke or slow", "--vlm-profile=control-cpu", f"--vlm-reports={reports}")
    return pytest_run(*args, "--vlm-soak-s=120", env={"PYTHONPATH": str(folder)}), reports


def test_a_plan_ends_well_and_leaves_nothing(control: tuple[Ran, Path]) -> None:
    ran, reports = control
    assert ran.code == 0, ran.said
    assert "nothing was started or asked" in ran.out
    assert "passed" not in ran.out
    assert not reports.exists()


def test_areas_have_their_tests_requests_and_time(control: tuple[Ran, Path]) -> None:
    ran, _ = control
    assert row(ran, "health")[0] == "13"
    assert re.search(r"server \d+ s, at most 5 min", ran.out)
    assert "a soak of 120 s" in ran.out
    tests, requests, _ = row(ran, "mmmu")
    assert (tests, requests) == ("7", "360")
    assert "120 questions, 120 again with blank pictures" in ran.out
    areas = [row(ran, name) for name in ("environment", "accuracy_data", "health", "schema", "capability")]
    areas += [
        row(ran, name)
        for name in (
            "pictures",
            "edge_inputs",
            "latency",
            "offline",
            "load",
            "repeatability",
            "logprobs",
            "mmmu",
            "release",
        )
    ]
    total = row(ran, "total")
    assert sum(int(area[0]) for area in areas) == int(total[0])
    assert sum(int(area[1].rstrip("+")) for area in areas) == int(total[1].rstrip("+"))


def test_what_is_left_out_is_said_with_its_reason(control: tuple[Ran, Path]) -> None:
    ran, _ = control
    assert re.search(r"left out, 3: the profile's device is cpu: environment::test_torch_npu_imports, ", ran.out)
    assert "test_health" not in ran.out  # names only with -v


def test_an_attached_run_leaves_out_what_needs_our_own_engine_and_asks_nothing(tmp_path: Path) -> None:
    with QuickServer() as server:
        args = ("--vlm-profile=internvl2-2b-ascend", f"--vlm-base-url={server.url}", f"--vlm-mmmu-data={tmp_path}")
        ran = pytest_run("--vlm-plan", "-m", "slow", *args)
        assert list(server.seen) == []
    assert ran.code == 0, ran.said
    assert row(ran, "start") == []
    assert row(ran, "mmmu")[1:] == ["1800", "13 min"]
    assert "the data are not prepared here" in ran.out
    assert re.search(r"left out, \d+: the endpoint is attached: .*load::test_soak_does_not_leak", ran.out)


def test_names_are_listed_when_asked_for_and_a_narrowed_run_says_so() -> None:
    ran = pytest_run("--vlm-plan", "-v", "-v", "-m", "smoke", "--vlm-profile=control-cpu", "-k", "version_is_told")
    assert ran.code == 0, ran.said
    assert "    health::test_version_is_told" in ran.out.splitlines()
    assert row(ran, "total")[0] == "1"
    assert "narrowed (-k 'version_is_told')" in ran.out
    offline = pytest_run("--vlm-plan", "-m", "smoke", "--vlm-profile=control-cpu", "-k", "test_weights_are_whole")
    assert row(offline, "start") == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--vlm-base-url=http://127.0.0.1:9"], ["--vlm-plan", "--vlm-profile", "control-cpu"]),
        (["--vlm-profile=contrl-cpu"], ["'contrl-cpu'", "mean 'control-cpu'"]),
        (["--vlm-profile=control-cpu", "--vlm-resume=nowhere"], ["--vlm-resume", "nowhere"]),
    ],
)
def test_what_is_wrong_is_one_line(args: list[str], words: list[str]) -> None:
    ran = pytest_run("--vlm-plan", *args)
    assert ran.code == 4, ran.said
    assert len(ran.problems) == 1, ran.said
    for word in words:
        assert word in ran.problems[0]
