"""The first day of a model, with the control in its place: the bars of the NPU profile, and nothing stored."""

from __future__ import annotations

import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import first_day
import owners
import pytest
import yaml
from acceptance_runs import Run, run_suite
from check_ids import LOGPROBS, MANY_TILES, OCR, node, short
from standins.fault_proxy import FaultProxy
from test_mutants import CATEGORIES, QUIET, broken

from vlm_acceptance.config.paths import ROOT

FAULT = "signs-unread"
# so many signs are not read: 5 of 8 are right, which is below the bar, and 2 of 8
BELOW_THE_BAR, BELOW_THE_RECORDED = 3, 6
# what was measured on an idle machine would be judged on a busy one
ANY_LATENCY = "--vlm-set=latency.categories=null"
# words forgive these: every category reaches its bar
FORGIVEN = ("noise5", "norm-eps")  # and int4, which `make test` plants, too


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile of the control that judges as the NPU profile does, without stored answers and log probabilities."""
    return first_day.write_profile(tmp_path)


@pytest.fixture
def run_at(accept, control):
    """`run_at(profile, unread)`: a whole smoke run, with so many signs that are not read."""

    def run(profile: Path, unread: int, *options: str) -> Run:
        with FaultProxy(control.base_url, FAULT, magnitude=unread) as proxy:
            return accept(f"--vlm-profile={profile}", f"--vlm-base-url={proxy.url}", *options)

    return run


def command_of(run: Run) -> list[str]:
    """The command that records a run, as its verdict gives it."""
    (line,) = [line for line in run.out.splitlines() if "record this run as its calibration: " in line]
    return shlex.split(line.partition("calibration: ")[2])


def test_right_deployment_is_accepted_on_its_first_day(run_at, profile):
    run = run_at(profile, 0)
    assert run.code == 0, run.out
    assert "capability cases are uncalibrated for this model" in run.out
    assert "first estimates" in run.out
    assert command_of(run)


@pytest.mark.fault("worse-than-recorded")
def test_category_below_its_bar_is_recorded_once_and_rejected_when_it_gets_worse(run_at, profile, tmp_path, prove):
    first = run_at(profile, BELOW_THE_BAR)
    assert first.code == 11, first.out
    assert "INCONCLUSIVE (to be calibrated)" in first.out
    assert (first.ids("failed"), first.ids("error")) == (set(), set())
    below = {short(ident) for ident in first.ids("to be calibrated")}
    assert below >= {OCR, "capability::test_translated_question[ocr]", "pictures::test_similar_pictures"}
    assert not any(word in ident for ident in below for word in ("chinese", "description", "reasoning"))
    # not a pass for a reader of JUnit either
    assert len(list(first.junit.iter("error"))) == len(below)

    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    recording = subprocess.run(command_of(first), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert recording.returncode == 0, recording.stderr
    recorded = tmp_path / "first-day-calibrated.yaml"
    assert yaml.safe_load(recorded.read_text("utf-8"))["capability"]["recorded"]["ocr/sign"] == 5

    second = run_at(recorded, BELOW_THE_BAR, ANY_LATENCY)
    assert second.code == 0, second.out
    assert "bars lowered by the calibration, which saw: ocr/sign 5 of 8 (bar 3)" in second.out

    third = run_at(recorded, BELOW_THE_RECORDED, ANY_LATENCY)
    assert third.code == 1, third.out
    assert "2 of 8 right, at least 3 required" in third.messages
    prove("worse-than-recorded", third)


@pytest.mark.fault("blind-on-its-first-day")
def test_deployment_that_sees_no_picture_is_rejected_on_its_first_day(accept, control, profile, prove):
    tests = [node(owner) for owner in owners.PROCESS["blind-on-its-first-day"]]
    with FaultProxy(control.base_url, "picture-replaced") as proxy:
        run = accept(f"--vlm-profile={profile}", f"--vlm-base-url={proxy.url}", *tests)
    assert run.code == 1, run.out
    prove("blind-on-its-first-day", run)


@pytest.mark.fault("large-unread-on-its-first-day")
def test_large_forms_that_are_not_read_are_rejected_on_the_first_day(accept, control, profile, prove):
    with FaultProxy(control.base_url, "large-signs-unread") as proxy:
        run = accept(f"--vlm-profile={profile}", f"--vlm-base-url={proxy.url}", node(OCR), node(MANY_TILES[0]))
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == {MANY_TILES[0]}
    assert "8 of 8 small pictures right, and 3 of 8 in large form" in run.messages
    prove("large-unread-on-its-first-day", run)


@pytest.mark.fault("reversed-on-its-first-day")
def test_reverse_order_of_pictures_is_rejected_on_the_first_day(accept, control, profile, prove):
    tests = [node(owner) for owner in owners.PROCESS["reversed-on-its-first-day"]]
    with FaultProxy(control.base_url, "pictures-reversed") as proxy:
        run = accept(f"--vlm-profile={profile}", f"--vlm-base-url={proxy.url}", *tests)
    assert run.code == 1, run.out
    assert "answers name the pictures in reverse order" in run.messages
    prove("reversed-on-its-first-day", run)


@pytest.fixture(scope="module")
def forgiven(request, tmp_path_factory):
    """Runs on mutants of this session with nothing known but the reference, two at a time."""

    def run(fault: str) -> Run:
        folder = tmp_path_factory.mktemp(fault)
        options, env = broken(fault, folder)
        quiet = first_day.options(QUIET, folder)
        return run_suite(folder, *quiet, *options, *map(node, (*CATEGORIES, LOGPROBS)), env=env)

    chosen = [item for item in request.session.items if item.originalname == REFERENCE_ALONE]
    with ThreadPoolExecutor(2) as pool:
        yield {fault: pool.submit(run, fault) for fault in (item.callspec.params["mutant"] for item in chosen)}


REFERENCE_ALONE = "test_mutant_whose_answers_are_right_is_refused_by_the_reference"


@pytest.mark.parametrize("mutant", [pytest.param("int4", marks=pytest.mark.part), *FORGIVEN])
def test_mutant_whose_answers_are_right_is_refused_by_the_reference(forgiven, mutant):
    run = forgiven[mutant].result()
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == {LOGPROBS}, run.out
    assert {short(ident) for ident in run.ids("passed")} == set(CATEGORIES), run.out
