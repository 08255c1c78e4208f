"""The control, broken on purpose, on the real engine: one launched run for each mutant, and its owners refuse it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import first_day
import pytest
from acceptance_runs import CONTROL, PROOF, Run, run_suite
from check_ids import ALL_LOGPROBS, GOLDEN, LOGPROBS, MANY_TILES, SCORED, TILES, node, short
from first_day import distance_of
from mutant_engine import FAULTS
from owners import DISTANT, MUTANTS

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine.installation import find_engine

CATEGORIES = tuple(
    f"capability::test_category[{name}-png]" for name in ("ocr", "description", "understanding", "reasoning", "chinese")
)
OF_REFERENCE = (*ALL_LOGPROBS, *SCORED)
ASKED = (*CATEGORIES, GOLDEN, TILES, LOGPROBS)
# other runs beside this one make a start slow, which is no fault
PATIENT, TIMEOUT_S = "--vlm-set=engine.start_timeout_s=1200", 1800
QUIET = (
    *("-m", "smoke or slow", "--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", "--vlm-soak-s=20"),
    PATIENT,
)
# nothing is stored of a deployment on its first day
NOTHING_STORED = ("--vlm-set=capability.golden_answers=null", "--vlm-set=logprobs.baseline=null")
# mutants that cut pictures wrongly, whatever is stored; a grey thumbnail is not among them: the tiles show everything
MISCUT = ("tiles-reversed", "tiles-grey", "tiles-dropped", "no-thumbnail", "no-tiling")
# a checkpoint without a layer is lighter than the profile says, and no engine would be started
LIGHTER = {"layer-dropped", "vision-layer-dropped"}
# every new and capability question is answered right: log probabilities refuse these, and a changed word of a stored
# answer at most
SILENT = {"noise5"}

NOT_SEEN, NOT_RIGHTLY = "the picture was not seen", "rightly seen"
LOGPROBS_OFF = "of common top tokens within 0.04 of the baseline"
SAID = {
    "blind": NOT_SEEN,
    "blind-mlp1": NOT_SEEN,
    "bgr": NOT_RIGHTLY,
    "tiles-reversed": NOT_RIGHTLY,
    "layer-dropped": NOT_RIGHTLY,
    "int4": LOGPROBS_OFF,
    "noise5": LOGPROBS_OFF,
    "no-bos": LOGPROBS_OFF,
}
# least number of categories refused
CATEGORIES_REFUSED = {"blind": 5, "blind-mlp1": 5, "bgr": 2, "tiles-reversed": 2, "layer-dropped": 2}


def engine_python() -> str:
    """The interpreter that holds torch and the engine."""
    return str(find_engine(None, None, os.environ).python or sys.executable)


def broken(fault: str, folder) -> tuple[tuple[str, ...], dict[str, str]]:
    """Options and environment of a run on a mutant."""
    if fault in FAULTS:
        engine = folder / "vllm"
        engine.write_text(f"#!/bin/sh\nexec '{engine_python()}' '{PROOF}/mutant_engine.py' \"$@\"\n", "utf-8")
        engine.chmod(0o755)
        return (f"--vlm-engine={engine}",), {"CONTROL_MUTANT": fault}
    out = folder / fault
    subprocess.run([engine_python(), str(PROOF / "mutants.py"), fault, str(out)], check=True, capture_output=True)
    lighter = ("--vlm-set=model.weights_bytes=null",) if fault in LIGHTER else ()
    return (f"--vlm-model={out}", *lighter), {}


def args_of_engine(*args: object) -> str:
    """The option that starts the engine with these arguments."""
    return f"--vlm-set=engine.args={json.dumps(args)}"


def run_on(fault: str, folder, is_whole: bool) -> Run:
    options, env = broken(fault, folder)
    tests = [] if is_whole else dict.fromkeys(map(node, [*ASKED, *OF_REFERENCE, *MUTANTS.get(fault, ())]))
    run = run_suite(folder, *QUIET, *options, *tests, env=env, timeout_s=TIMEOUT_S)
    first_day.note(fault, run)
    return run


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory, whole_suite):
    """Runs on the mutants of this session, two at a time: an engine loads on one core. A whole suite runs alone."""
    tests = ("test_mutant_is_refused", "test_mutant_lies_within_the_limits")
    chosen = [item for item in request.session.items if item.originalname in tests]
    pool = ThreadPoolExecutor(1 if whole_suite else 2)
    faults = [item.callspec.params["fault"] for item in chosen]
    yield {fault: pool.submit(run_on, fault, tmp_path_factory.mktemp(fault), whole_suite) for fault in faults}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", MUTANTS)
def test_mutant_is_refused(prove, runs, whole_suite, fault):
    run = runs[fault].result()
    prove(fault, run)
    refused = {short(ident) for ident in run.refused_by}
    assert run.code == 1, run.out
    assert SAID.get(fault, "") in run.messages
    assert len(refused & set(CATEGORIES)) >= CATEGORIES_REFUSED.get(fault, 0)
    if fault in SILENT and not whole_suite:
        assert refused - {GOLDEN} == {LOGPROBS, *OF_REFERENCE}


@pytest.mark.parametrize("fault", DISTANT)
def test_mutant_lies_within_the_limits(prove, runs, fault):
    run = runs[fault].result()
    seen = distance_of(run.summary)
    assert seen is not None, run.out
    said = f"mean |Δ| {seen.shift:.4f} over {seen.prompts} prompts, limit {seen.limit:.4f}"
    prove(fault, run, seen=f"not refused: {said}")


@pytest.mark.parametrize("fault", MISCUT)
def test_large_pictures_alone_refuse_wrong_tiles_where_nothing_is_stored(tmp_path, fault):
    options, env = broken(fault, tmp_path)
    tests = "tests/acceptance/test_large_pictures.py"
    run = run_suite(tmp_path, *QUIET, *NOTHING_STORED, *options, tests, env=env, timeout_s=TIMEOUT_S)
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} & set(MANY_TILES)


@pytest.mark.parametrize("fault", ["tiles-reversed", "tiles-grey"])
def test_only_large_pictures_see_wrong_tiles_where_every_other_picture_is_one_tile(tmp_path, fault):
    options, env = broken(fault, tmp_path)
    spm = ["--vlm-profile=control-spm" if one == "--vlm-profile=control-cpu" else one for one in QUIET]
    tests = (*map(node, CATEGORIES), "tests/acceptance/test_large_pictures.py")
    run = run_suite(tmp_path, *spm, *NOTHING_STORED, *options, *tests, env=env, timeout_s=TIMEOUT_S)
    assert run.code == 1, run.out
    refused = {short(ident) for ident in run.refused_by}
    assert refused >= set(MANY_TILES)
    assert not refused & set(CATEGORIES)


def logprob_run(accept, *options: str):
    """A run of all checks of log probabilities; two threads on a busy machine are slow."""
    return accept(*QUIET, *options, "tests/acceptance/test_logprobs.py", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_control_served_with_other_rounding_is_accepted_by_its_log_probabilities(accept, dtype):
    args = load_profile("control-cpu", PROFILES).profile.engine.args
    run = logprob_run(accept, args_of_engine(*(dtype if arg == "bfloat16" else arg for arg in args)))
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert {short(ident) for ident in run.ids("passed")} >= {LOGPROBS, *OF_REFERENCE}


def test_control_served_by_two_threads_is_accepted_by_its_log_probabilities(accept):
    run = logprob_run(accept, "--vlm-set=engine.env.OMP_NUM_THREADS=2")
    assert run.code == 11, run.out
    assert run.refused_by == set()
    assert {short(ident) for ident in run.ids("passed")} >= {LOGPROBS, *OF_REFERENCE}


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
