"""The new pictures of a whole run, at a stand-in that knows the answers of one seed and reads nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from acceptance_runs import Run, run_suite
from check_ids import NEW_PICTURES, node, short
from standins.oracle_server import OracleServer

from vlm_acceptance.cases.challenge_pictures import draw, grids
from vlm_acceptance.cases.large_pictures import USUAL
from vlm_acceptance.workloads.challenge import url_of

MODEL = "vlm-acceptance/control"
SEED = 4711
# the stand-in counts no tiles
OPTIONS = ("--vlm-profile=control-cpu", "--vlm-set=challenge.pictures=true", "--vlm-set=model.pictures.oracle=none")
FIRST_DAY = "--vlm-set=capability.calibrated=false"


def answers(right: int) -> dict[tuple[str, str], str]:
    """So many right answers to the questions of SEED."""
    drawn = draw(SEED, USUAL.tile_px, grids(USUAL))[:right]
    return {(one.prompt, url_of(one)): one.answer for one in drawn}


def run(folder: Path, right: int, *options: str, seed: int = SEED) -> Run:
    with OracleServer(answers(right), MODEL) as server:
        where = (f"--vlm-base-url={server.url}", f"--vlm-seed={seed}")
        return run_suite(folder, *OPTIONS, *where, *options, node(NEW_PICTURES))


@pytest.mark.parametrize("right", [8, 4])
def test_enough_right_answers_pass_and_are_counted(tmp_path: Path, right: int) -> None:
    ran = run(tmp_path, right)
    assert ran.summary is not None
    assert ({short(test) for test in ran.ids("passed")}, ran.summary["new_pictures"]) == ({NEW_PICTURES}, right)


def test_a_few_right_answers_are_to_be_calibrated_and_then_rejected(tmp_path: Path) -> None:
    ran = run(tmp_path, 3, FIRST_DAY)
    assert {short(test) for test in ran.ids("to be calibrated")} == {NEW_PICTURES}
    assert "3 of 8 right" in ran.out
    assert {short(test) for test in run(tmp_path / "second", 3).refused_by} == {NEW_PICTURES}


def test_answers_of_another_seed_are_refused_on_the_first_day_too(tmp_path: Path) -> None:
    ran = run(tmp_path, 8, FIRST_DAY, seed=SEED + 1)
    assert (ran.code, {short(test) for test in ran.refused_by}) == (1, {NEW_PICTURES})
    assert "0 of 8 right" in ran.messages
    assert "[challenge.unread]" in ran.out
