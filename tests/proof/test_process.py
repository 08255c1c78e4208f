"""Engines that do not start, do not behave, or do not go; ports and devices that are not there."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import psutil
import pytest
from proof_engines import NPU, fake_npu, held_port

CONTROL = ["--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", "--vlm-set=engine.start_timeout_s=6"]
FIRST = "test_health.py::test_readiness"

REFUSED = {
    # behaviour: (test that refuses, what its message says)
    "dies-loading": (f"{FIRST}[port]", "the engine ended (exit code 1)"),
    "exits-zero": (f"{FIRST}[port]", "the engine ended (exit code 0)"),
    "hangs-loading": (f"{FIRST}[port]", "not reached within 6 s"),
    "health-too-early": (f"{FIRST}[text]", "HTTP 503"),
    "wrong-model-id": (f"{FIRST}[model]", "not 'vlm-acceptance/control'"),
}


@pytest.mark.parametrize("behaviour", REFUSED)
def test_engine_that_does_not_get_ready_is_rejected(accept, stand_in_engine, behaviour):
    test, says = REFUSED[behaviour]
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": behaviour})
    assert run.code == 1, run.out
    assert run.refused_by == {test}
    assert says in run.messages
    assert run.ids("error") == set()
    assert "REJECTED" in run.out


def test_engine_that_finds_the_card_full_of_others_is_an_environment_error(accept, stand_in_engine):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "oom-at-start"})
    assert run.code == 10, run.out
    assert "the engine ended (exit code" in run.messages
    assert run.refused_by == set()


def test_dead_engine_is_reported_with_its_telling_lines(accept, stand_in_engine):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "dies-loading"})
    failures = [case.find("failure") for case in run.junit.iter("testcase")]
    texts = [failure.text or "" for failure in failures if failure is not None]
    assert len(texts) == 1
    assert "Error" in texts[0]
    assert "server.log" in texts[0]


def test_engine_that_dies_in_mid_request_is_rejected(accept, stand_in_engine):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "dies-in-request"})
    assert run.code == 1, run.out
    assert "the engine ended" in run.messages


def test_engine_that_dies_under_the_accuracy_run_is_rejected(accept, stand_in_engine):
    run = accept(
        *CONTROL,
        f"--vlm-engine={stand_in_engine}",
        *("-m", "slow", "--vlm-set=mmmu.early_stop=false", "tests/acceptance/test_mmmu.py"),
        env={"VLM_STANDIN": "dies-in-request", "VLM_STANDIN_AFTER": "40"},
    )
    assert run.code == 1, run.out
    assert run.refused_by == {
        "test_mmmu.py::test_every_question_is_answered",
        "test_mmmu.py::test_answers_are_as_known",
    }
    assert "the engine ended" in run.messages


@pytest.mark.parametrize(
    ("behaviour", "says"), [("ignores-sigterm", "to end on SIGTERM"), ("leaves-children", "standin-child")]
)
def test_engine_that_does_not_go_is_rejected_and_ended(accept, stand_in_engine, behaviour, says):
    only = ["tests/acceptance/test_health.py", "tests/acceptance/test_release.py", "--vlm-set=engine.stop_timeout_s=2"]
    run = accept(*CONTROL, *only, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": behaviour})
    assert "test_release.py::test_engine_is_released" in run.refused_by, run.out
    assert says in run.messages
    left = [p for p in psutil.process_iter(["cmdline"]) if "standin-child" in (p.info["cmdline"] or [])]
    assert left == []


def test_foreign_server_on_the_port_is_an_environment_error(accept, stand_in_engine):
    with held_port() as port:
        run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-port={port}", env={"VLM_STANDIN": "ready"})
    assert run.code == 10, run.out
    assert f"port {port} is held by" in run.out
    assert run.refused_by == set()


def test_model_server_on_the_port_is_answered_with_the_attach_command(accept, stand_in_engine, control):
    run = accept(
        *CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-port={control.port}", env={"VLM_STANDIN": "ready"}
    )
    assert run.code == 10, run.out
    assert f"--vlm-base-url http://127.0.0.1:{control.port}" in run.out


def test_endpoint_that_does_not_answer_is_an_environment_error(accept):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        run = accept("--vlm-profile=control-cpu", f"--vlm-base-url=http://127.0.0.1:{held.getsockname()[1]}")
    assert run.code == 10, run.out
    assert "nothing answers at" in run.out


def test_attached_endpoint_is_never_stopped(accept, control):
    run = accept(f"--vlm-base-url={control.base_url}", "tests/acceptance/test_health.py")
    assert run.code == 11, run.out  # narrowed: no failure, no acceptance
    assert not control.process.has_exited


def test_missing_engine_is_an_environment_error(accept, tmp_path):
    run = accept(*CONTROL, f"--vlm-engine={tmp_path / 'no-such-vllm'}")
    assert run.code == 10, run.out
    assert "no-such-vllm" in run.out


@pytest.mark.parametrize("cut", ["truncated", "without-config"])
def test_broken_weights_are_an_environment_error(accept, stand_in_engine, tmp_path, cut):
    folder = broken_folder(tmp_path / "model", cut)
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-model={folder}", env={"VLM_STANDIN": "ready"})
    assert run.code == 10, run.out
    assert ("model.safetensors" if cut == "truncated" else "config.json") in run.out


def broken_folder(folder: Path, cut: str) -> Path:
    """A copy of the control with one thing missing."""
    shutil.copytree(Path(__file__).parents[2] / "fixtures" / "control" / "model", folder)
    if cut == "truncated":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        (folder / "config.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("variant", "says"),
    [("missing", "npu-smi"), ("failing", "-8005"), ("910A", "910A"), ("busy", "someone"), ("small", "MB")],
)
def test_unusable_device_is_an_environment_error(accept, stand_in_engine, tmp_path, variant, says):
    env = fake_npu(tmp_path, variant)
    run = accept(*NPU, f"--vlm-engine={stand_in_engine}", env={**env, "VLM_STANDIN": "ready"})
    assert run.code == 10, run.out
    assert says in run.out
    assert run.refused_by == set()
