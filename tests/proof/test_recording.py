"""A recording of the accepted deployment, as a user makes it: what hides from a reference is refused beside it."""

from __future__ import annotations

import pytest
from acceptance_runs import run_suite
from check_ids import ALL_LOGPROBS, LOGPROBS, SCORED, short
from test_mutants import PATIENT, TIMEOUT_S, broken

from vlm_acceptance.core.reference_file import read_about

SMOKE = ("--vlm-profile=control-cpu", PATIENT)
LOGPROB_TESTS = "tests/acceptance/test_logprobs.py"
JUDGED = {LOGPROBS, *ALL_LOGPROBS, *SCORED}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The file of two accepted smoke runs, each with an engine of its own."""
    folder = tmp_path_factory.mktemp("recording")
    path = folder / "right.jsonl"
    for start in (1, 2):
        made = run_suite(folder / str(start), *SMOKE, f"--vlm-record-baseline={path}", timeout_s=TIMEOUT_S)
        assert made.code == 0, made.out
    return path


@pytest.fixture(scope="module")
def beside(recording, tmp_path_factory):
    """`beside(*options, env={})`: all tests of log probabilities beside the recording, by the limits it measured."""

    def run(*options, env=None):
        args = ("-m", "smoke or slow", *SMOKE, f"--vlm-baseline={recording}", *options, LOGPROB_TESTS)
        return run_suite(tmp_path_factory.mktemp("beside"), *args, env=env, timeout_s=TIMEOUT_S)

    return run


def test_a_second_accepted_run_adds_a_start_to_the_recording(recording):
    names = [change.name for change in read_about(recording).changes]
    assert all(name.startswith("repeat: ") for name in names)
    assert names[-1] == "repeat: start 2"


def test_right_deployment_is_accepted_beside_its_recording(beside):
    run = beside()
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert {short(ident) for ident in run.ids("passed")} >= JUDGED


@pytest.mark.parametrize("change", ["int8", "norm-eps-10", "noise1", "bilinear"])
def test_what_a_reference_does_not_refuse_is_refused_beside_the_recording(beside, tmp_path, change):
    options, env = broken(change, tmp_path)
    run = beside(*options, env=env)
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} & JUDGED
