"""The control broken on purpose, on the real engine: what it shows is refused by the tests that look at pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import CONTROL, PROOF, ROOT

NOT_SEEN = "the picture was not seen"
NOT_RIGHTLY = "rightly seen"
CAPABILITY = "tests/acceptance/test_capability.py"
NUMBERS = "tests/acceptance/test_numbers.py"
QUIET = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false")
ONLY = (*QUIET, CAPABILITY)


def mutant(name: str, folder) -> str:
    """A broken copy of the control."""
    subprocess.run([sys.executable, str(PROOF / "mutants.py"), name, str(folder)], check=True, capture_output=True)
    return f"--vlm-model={folder}"


def categories(run) -> set[str]:
    """Categories refused over the PNG route."""
    return {
        ident.partition("[")[2].removesuffix("-png]")
        for ident in run.refused_by
        if "test_category" in ident and ident.endswith("-png]")
    }


def test_blind_control_is_rejected_in_every_category(accept, tmp_path):
    run = accept(*ONLY, mutant("blind", tmp_path / "blind"))
    assert run.code == 1, run.out
    assert categories(run) == {"ocr", "description", "understanding", "reasoning", "chinese"}
    assert NOT_SEEN in run.messages


@pytest.mark.parametrize(("name", "extra"), [("bgr", ()), ("layer-dropped", ("--vlm-set=model.weights_bytes=null",))])
def test_control_with_wrong_pixels_or_a_layer_less_is_rejected(accept, tmp_path, name, extra):
    run = accept(*ONLY, *extra, mutant(name, tmp_path / name))
    assert run.code == 1, run.out
    assert len(categories(run)) >= 2
    assert NOT_RIGHTLY in run.messages
    assert "test_capability.py::test_known_answers" in run.refused_by


def test_control_with_reversed_tiles_is_rejected(accept, tmp_path):
    engine = tmp_path / "vllm"
    engine.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROOF}/mutant_engine.py' \"$@\"\n", "utf-8")
    engine.chmod(0o755)
    run = accept(*ONLY, f"--vlm-engine={engine}", env={"CONTROL_MUTANT": "tiles-reversed"})
    assert run.code == 1, run.out
    assert len(categories(run)) >= 2
    assert NOT_RIGHTLY in run.messages


def test_control_with_another_template_is_rejected_by_its_known_answers(accept, tmp_path):
    run = accept(*ONLY, mutant("no-newline", tmp_path / "template"))
    assert run.code == 1, run.out
    assert "test_capability.py::test_known_answers" in run.refused_by


@pytest.mark.parametrize("name", ["int4", "noise5", "no-bos"])
def test_control_whose_words_are_right_and_whose_numbers_are_not_is_rejected_by_them(accept, tmp_path, name):
    run = accept(*QUIET, "-m", "smoke or slow", NUMBERS, mutant(name, tmp_path / name))
    assert run.code == 1, run.out
    assert run.refused_by == {
        "test_numbers.py::test_numbers_are_those_of_the_baseline",
        "test_numbers.py::test_every_number_is_that_of_the_baseline[1]",
        "test_numbers.py::test_every_number_is_that_of_the_baseline[16]",
    }
    assert "of common top-5 tokens within 0.04 of the baseline" in run.messages


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_control_served_with_other_rounding_is_accepted_by_its_numbers(accept, dtype):
    args = yaml.safe_load((ROOT / "fixtures" / "profiles" / "control-cpu.yaml").read_text("utf-8"))["engine"]["args"]
    other = [dtype if arg == "bfloat16" else arg for arg in args]
    run = accept(*QUIET, "-m", "smoke or slow", NUMBERS, f"--vlm-set=engine.args={json.dumps(other)}")
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert (run.refused_by, len(run.ids("passed"))) == (set(), 5)


def test_offline_engine_with_other_numbers_than_the_server_is_rejected(accept):
    offline = "tests/acceptance/test_numbers.py::test_server_gives_the_numbers_of_the_offline_engine"
    other = '--vlm-set=offline.llm.hf_overrides={"llm_config": {"rms_norm_eps": 0.5}}'
    run = accept("--vlm-profile=control-cpu", "-m", "slow", other, offline)
    assert run.code == 1, run.out
    assert run.refused_by == {"test_numbers.py::test_server_gives_the_numbers_of_the_offline_engine"}


def test_real_engine_that_dies_while_loading_is_rejected_with_its_reason(accept, tmp_path):
    folder = tmp_path / "narrow"
    shutil.copytree(CONTROL, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["llm_config"]["intermediate_size"] *= 2  # the weights do not fit it
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    health = "tests/acceptance/test_health.py"
    run = accept("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", f"--vlm-model={folder}", health)
    assert run.code == 1, run.out
    assert run.refused_by == {"test_health.py::test_readiness[port]"}
    assert "the engine ended (exit code 1)" in run.messages
    assert "size" in run.out


def test_right_control_under_a_wrong_name_is_rejected(accept, control):
    wrong = "--vlm-set=model.id=OpenGVLab/InternVL2-2B"
    run = accept("--vlm-profile=control-cpu", wrong, f"--vlm-base-url={control.base_url}")
    assert run.code == 1, run.out
    assert run.refused_by == {"test_health.py::test_readiness[model]"}
    assert "not 'OpenGVLab/InternVL2-2B'" in run.messages
