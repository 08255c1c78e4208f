"""Collection is quick and needs no engine, accelerator library or model hub; a profile can be shown."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from tests.support.runs import ROOT, Ran, pytest_run, summary_of, warm_run

from vlm_acceptance.config.profile import Profile

BLOCKED = ("vllm", "vllm_ascend", "torch", "torch_npu", "modelscope", "transformers", "numpy")
SITE = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def without_engine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no library of an engine can be imported."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(SITE, "utf-8")
    return {"PYTHONPATH": str(folder)}


def test_the_block_blocks(without_engine: dict[str, str], tmp_path: Path) -> None:
    test = tmp_path / "test_x.py"
    test.write_text("def test_x():\n    import torch\n", "utf-8")
    ran = pytest_run(str(test), cwd=tmp_path, env=without_engine)
    assert "torch is blocked" in ran.out


def test_collection_needs_nothing_of_an_engine_and_is_quick(without_engine: dict[str, str]) -> None:
    took = []
    for _ in range(3):
        began = processor_s()
        ran = pytest_run("--co", "-m", "smoke", "--vlm-profile=control-cpu", env=without_engine)
        took.append(processor_s() - began)
        assert ran.code == 0, ran.output
    assert "tests/acceptance/test_capability.py::test_category[ocr-png]" in ran.out.replace("png-ocr", "ocr-png")
    # under one second of a processor on an idle machine; a busy one has colder caches
    assert min(took) < 4


def processor_s() -> float:
    """Seconds of a processor that the ended children of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "fixtures" / "profiles").glob("*.yaml")])
def test_tests_are_collected_with_every_profile(name: str) -> None:
    ran = warm_run("--co", f"--vlm-profile={name}")
    assert ran.code == 0, ran.output


@pytest.fixture(scope="module")
def shown() -> Ran:
    return warm_run(
        "--vlm-show-profile",
        "--vlm-profile=internvl2-2b-ascend-graph",
        "--vlm-port=8001",
        "--vlm-set=deadlines.cold_s=7",
        env={"VLM_SET": "deadlines.cold_s=5; deadlines.health_s=3", "VLM_MODEL": "/a b"},
    )


@pytest.mark.parametrize(
    "line",
    [
        "# chosen: --vlm-profile",
        "engine.port: 8001  # --vlm-port",
        "deadlines.cold_s: 7.0  # --vlm-set",
        "deadlines.health_s: 3.0  # VLM_SET",
        "model.path: /a b  # VLM_MODEL",
        "engine.mode: graph  # internvl2-2b-ascend-graph.yaml",
        "model.id: OpenGVLab/InternVL2-2B  # internvl2-2b-ascend.yaml",
        "engine.host: 127.0.0.1  # default",
    ],
)
def test_a_shown_profile_names_the_source_of_each_value(line: str, shown: Ran) -> None:
    assert shown.code == 0, shown.output
    assert line in shown.out.splitlines()


def test_a_shown_profile_shows_every_key_and_runs_nothing(shown: Ran) -> None:
    sections = {line.partition(".")[0].partition(":")[0] for line in shown.out.splitlines() if line[0] != "#"}
    assert sections == set(Profile.model_fields)
    assert "passed" not in shown.out


def test_a_card_that_cannot_be_used_is_reported_and_the_control_does_not_replace_it(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "npu-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'dcmi module initialize failed. ret is -8005' >&2\nexit 1\n", "utf-8")
    tool.chmod(0o755)
    model = tmp_path / "model"
    model.mkdir()  # empty, so that nothing is downloaded
    env = {"PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}
    ran = warm_run("-m", "smoke", f"--vlm-reports={tmp_path / 'reports'}", f"--vlm-model={model}", env=env)
    assert ran.code == 10, ran.output
    summary = summary_of(tmp_path / "reports")
    assert summary["scope"]["profile"] == "internvl2-2b-ascend"
    assert "an NPU was detected" in summary["profile"]["chosen"]
    assert summary["exit_code"] == 10
    outcomes = {test["id"].rpartition("::")[2]: test["outcome"] for test in summary["tests"]}
    assert outcomes["test_device_is_present_and_free"] == "error"
    assert "passed" not in {outcome for name, outcome in outcomes.items() if "category" in name}
    assert "control" not in summary["statement"]
