"""Engines that do not start, misbehave or do not end; ports and devices that cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from acceptance_runs import CONTROL as MODEL
from check_ids import COMPLETE, FIGURES, SERVED_FILES, node, short
from first_day import BESIDE_REFERENCE
from proof_engines import NPU, fake_npu, held_port

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine.port import free_port

REAL = ["--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false"]
CONTROL = [*REAL, "--vlm-set=engine.start_timeout_s=6"]

REFUSED = {
    # fault, also the name of the behaviour: words in the message of the only test that refuses it
    "dies-loading": "the engine ended (exit code 1)",
    "exits-zero": "the engine ended (exit code 0)",
    "hangs-loading": "not reached within 6 s",
    "health-too-early": "HTTP 503",
    "wrong-model-id": "not 'vlm-acceptance/control'",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_engine_that_does_not_get_ready_is_rejected(accept, stand_in_engine, prove, fault):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": fault})
    prove(fault, run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 1
    assert REFUSED[fault] in run.messages
    assert run.ids("error") == set()
    assert "REJECTED" in run.out


@pytest.mark.fault("out-of-memory-by-others")
def test_engine_that_finds_the_card_full_of_others_is_an_environment_error(accept, stand_in_engine, prove):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "oom-at-start"})
    prove("out-of-memory-by-others", run)
    assert run.code == 10, run.out
    assert "the engine ended (exit code" in run.messages


def test_dead_engine_is_reported_with_the_lines_that_explain_it(accept, stand_in_engine):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "dies-loading"})
    failures = [case.find("failure") for case in run.junit.iter("testcase")]
    texts = [failure.text or "" for failure in failures if failure is not None]
    assert len(texts) == 1
    assert "Error" in texts[0]
    assert "server.log" in texts[0]


@pytest.mark.fault("graphs-not-captured")
def test_engine_that_captures_no_graph_is_not_taken_for_graph_mode(accept, stand_in_engine, prove):
    # configured for graphs, as the profile promises; only the log shows that none was captured
    graph = ("--vlm-set=engine.args=[--trust-remote-code]", "--vlm-set=engine.mode=graph")
    asked = (*CONTROL, *graph, node(FIGURES), f"--vlm-engine={stand_in_engine}")
    assert accept(*asked, env={"VLM_STANDIN": "ready"}).refused_by == set()
    run = accept(*asked, env={"VLM_STANDIN": "ready", "VLM_STANDIN_GRAPHS": "none"})
    prove("graphs-not-captured", run)
    assert run.code == 1, run.out
    assert "eager mode (no graph captured, enforce_eager=False, cudagraph_mode NONE)" in run.messages


@pytest.mark.fault("dies-in-request")
def test_engine_that_dies_in_mid_request_is_rejected(accept, stand_in_engine, prove):
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "dies-in-request"})
    prove("dies-in-request", run)
    assert run.code == 1, run.out
    assert "the engine ended" in run.messages


@pytest.mark.fault("dies-in-accuracy-run")
def test_engine_that_dies_under_the_accuracy_run_is_rejected(accept, stand_in_engine, prove):
    asked = ("-m", "slow", "--vlm-set=mmmu.early_stop=false", node(COMPLETE), f"--vlm-engine={stand_in_engine}")
    lives = accept(*CONTROL, *asked, env={"VLM_STANDIN": "ready"})
    assert lives.ids("passed") == {"test_mmmu.py::test_every_question_is_answered"}, lives.out
    run = accept(*CONTROL, *asked, env={"VLM_STANDIN": "dies-in-request", "VLM_STANDIN_AFTER": "40"})
    prove("dies-in-accuracy-run", run)
    assert run.code == 1, run.out
    assert "the engine ended (exit code 1) while it was tested" in run.messages


@pytest.mark.parametrize(
    ("fault", "says"), [("ignores-sigterm", "to end on SIGTERM"), ("leaves-children", "standin-child")]
)
def test_engine_that_does_not_end_is_rejected_and_killed(accept, stand_in_engine, prove, fault, says):
    only = ["tests/acceptance/test_health.py", "tests/acceptance/test_release.py", "--vlm-set=engine.stop_timeout_s=2"]
    port = str(free_port())
    run = accept(*CONTROL, *only, f"--vlm-port={port}", f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": fault})
    prove(fault, run)
    assert says in run.messages
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    # with the port: other runs on this machine have children of that name
    assert [words for words in commands if {"standin-child", port} <= set(words)] == []


class Taker(threading.Thread):
    """Takes a port as soon as the engine that will listen there has begun its log."""

    def __init__(self, port: int, reports: Path) -> None:
        super().__init__(daemon=True)
        self.port, self.reports = port, reports
        self.done = threading.Event()

    def run(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not list(self.reports.glob("runs/*/server.log")):
            if self.done.wait(0.02):
                return
        with held_port(self.port):
            self.done.wait(120)


@pytest.mark.parametrize("fault", ["port-taken-meanwhile", "real-port-taken-meanwhile"])
def test_port_taken_between_choice_and_bind_is_an_environment_error(accept, stand_in_engine, tmp_path, prove, fault):
    engine = [] if fault.startswith("real") else [f"--vlm-engine={stand_in_engine}"]
    port = free_port()
    taker = Taker(port, tmp_path / "reports")
    taker.start()
    patient = "--vlm-set=engine.start_timeout_s=60"
    try:
        run = accept(*CONTROL, patient, f"--vlm-port={port}", *engine, env={"VLM_STANDIN": "binds-late"})
    finally:
        taker.done.set()
    prove(fault, run)
    assert run.code == 10, run.out
    assert f"port {port} was taken by pid {os.getpid()}" in run.messages


@pytest.mark.fault("port-held")
def test_foreign_server_on_the_port_is_an_environment_error(accept, stand_in_engine, prove):
    with held_port() as port:
        run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-port={port}", env={"VLM_STANDIN": "ready"})
    prove("port-held", run)
    assert run.code == 10, run.out
    assert f"port {port} is held by" in run.out


@pytest.mark.fault("port-held-by-model")
def test_model_server_on_the_port_is_answered_with_the_attach_command(accept, stand_in_engine, control, prove):
    run = accept(
        *CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-port={control.port}", env={"VLM_STANDIN": "ready"}
    )
    prove("port-held-by-model", run)
    assert run.code == 10, run.out
    assert f"--vlm-base-url http://127.0.0.1:{control.port}" in run.out


@pytest.mark.fault("nothing-answers")
def test_endpoint_that_does_not_answer_is_an_environment_error(accept, prove):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        run = accept("--vlm-profile=control-cpu", f"--vlm-base-url=http://127.0.0.1:{held.getsockname()[1]}")
    prove("nothing-answers", run)
    assert run.code == 10, run.out
    assert "nothing answers at" in run.out


def test_attached_endpoint_is_never_stopped(accept, control):
    run = accept(f"--vlm-base-url={control.base_url}", "tests/acceptance/test_health.py")
    assert run.code == 11, run.out  # narrowed: no failure, no acceptance
    assert not control.process.has_exited


@pytest.mark.fault("engine-missing")
def test_missing_engine_is_an_environment_error(accept, tmp_path, prove):
    run = accept(*CONTROL, f"--vlm-engine={tmp_path / 'no-such-vllm'}")
    prove("engine-missing", run)
    assert run.code == 10, run.out
    assert "no-such-vllm" in run.out


@pytest.mark.parametrize("fault", ["weights-truncated", "config-missing"])
def test_broken_weights_are_an_environment_error(accept, stand_in_engine, tmp_path, prove, fault):
    folder = broken_folder(tmp_path / "model", fault)
    run = accept(*CONTROL, f"--vlm-engine={stand_in_engine}", f"--vlm-model={folder}", env={"VLM_STANDIN": "ready"})
    prove(fault, run)
    assert run.code == 10, run.out
    assert ("model.safetensors" if fault == "weights-truncated" else "config.json") in run.out


@pytest.mark.fault("reference-of-another")
def test_files_that_are_not_those_of_the_reference_are_rejected(accept, stand_in_engine, tmp_path, prove):
    asked = (*CONTROL, BESIDE_REFERENCE, node(SERVED_FILES), f"--vlm-engine={stand_in_engine}")
    right = accept(*asked, env={"VLM_STANDIN": "ready"})
    assert [short(ident) for ident in right.ids("passed")] == [SERVED_FILES], right.out
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    with (folder / "tokenizer_config.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    run = accept(*asked, f"--vlm-model={folder}", env={"VLM_STANDIN": "ready"})
    prove("reference-of-another", run)
    assert run.code == 1, run.out
    assert "tokenizer_config.json" in run.messages


# of a language model with the sizes of the control
OTHER_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
}


@pytest.mark.fault("real-config-of-another")
def test_real_engine_with_the_configuration_of_another_model_is_rejected(accept, tmp_path, prove):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    (folder / "config.json").write_text(json.dumps(OTHER_CONFIG), "utf-8")
    run = accept(*REAL, f"--vlm-model={folder}")
    prove("real-config-of-another", run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 1
    assert "the engine ended (exit code 1)" in run.messages


@pytest.mark.fault("real-out-of-memory")
def test_real_engine_that_asks_for_more_memory_than_there_is_is_rejected(accept, prove):
    args = load_profile("control-cpu", PROFILES).profile.engine.args
    huge = [1 << 50 if before == "--kv-cache-memory-bytes" else arg for before, arg in zip(["", *args], args)]
    run = accept(*REAL, f"--vlm-set=engine.args={json.dumps(huge)}")
    prove("real-out-of-memory", run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 1
    assert "the engine ended (exit code 1)" in run.messages


def broken_folder(folder: Path, fault: str) -> Path:
    """A copy of the control with one thing missing."""
    shutil.copytree(MODEL, folder)
    if fault == "weights-truncated":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        (folder / "config.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("npu-smi-missing", "npu-smi"),
        ("npu-smi-failing", "-8005"),
        ("card-910A", "910A"),
        ("card-busy", "someone"),
        ("card-small", "MB"),
        ("card-critical", "reports health 'Critical'"),
    ],
)
def test_unusable_device_is_an_environment_error(accept, stand_in_engine, tmp_path, prove, fault, says):
    env = fake_npu(tmp_path, fault.rpartition("-")[2])
    run = accept(*NPU, f"--vlm-engine={stand_in_engine}", env={**env, "VLM_STANDIN": "ready"})
    prove(fault, run)
    assert run.code == 10, run.out
    assert says in run.out


@pytest.mark.parametrize("fault", ["data-absent", "data-picture-gone", "data-index-changed", "data-another-set"])
def test_data_that_are_not_whole_are_an_environment_error(accept, tmp_path, prove, fault):
    data = tmp_path / "data"
    wanted = "mmmu_mini"
    if fault != "data-absent":
        shutil.copytree(ROOT / "fixtures" / "mmmu_mini" / "prepared", data)
    if fault == "data-picture-gone":
        next((data / "pictures").iterdir()).unlink()
    if fault == "data-index-changed":
        index = data / "index.jsonl"
        index.write_bytes(index.read_bytes().replace(b'"gold": ["B"]', b'"gold": ["A"]'))
    if fault == "data-another-set":
        wanted = "MMMU_val"
    run = accept(
        *("-m", "slow", "--vlm-profile=control-cpu", f"--vlm-set=mmmu.dataset={wanted}", f"--vlm-mmmu-data={data}"),
        "tests/acceptance/test_accuracy_data.py",
    )
    prove(fault, run)
    assert run.code == 10, run.out
    assert run.ids("error") == {"test_accuracy_data.py::test_mmmu_is_prepared"}
    assert str(data) in run.messages
