"""Times of the last run: from the newest summary of the profile that has them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.made_context import context_of

from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.last_run import stage_seconds, stored_runs


def stored(reports: Path, name: str, stages: object, profile: str = "p") -> None:
    folder = reports / "runs" / name
    folder.mkdir(parents=True)
    text = stages if isinstance(stages, str) else json.dumps({"scope": {"profile": profile}, "stage_seconds": stages})
    (folder / "summary.json").write_text(text, "utf-8")


def test_each_stage_has_the_time_of_the_newest_run_of_the_profile_that_has_it(tmp_path: Path) -> None:
    stored(tmp_path, "20260101T000000Z-p", {"engine": 30.0, "offline engine": 9})
    stored(tmp_path, "20260102T000000Z-p", {"engine": 20.5})
    stored(tmp_path, "20260103T000000Z-p-2", {"engine": 1.0}, "p-2")
    for number, broken in enumerate(('{"scope"', "[]", '{"scope": 1}', '{"scope": {"profile": "p"}}')):
        stored(tmp_path, f"2026020{number + 1}T000000Z-p", broken)
    assert stage_seconds(tmp_path, "p") == {"engine": 20.5, "offline engine": 9.0}


def test_a_run_that_judged_another_one_has_no_times(tmp_path: Path) -> None:
    stored(tmp_path, "20260101T000000Z-p", {"engine": 30.0})
    judged = {"scope": {"profile": "p"}, "stage_seconds": {"engine": 0.1}, "judged": {"run": "20260101T000000Z-p"}}
    stored(tmp_path, "20260102T000000Z-p-judged", json.dumps(judged))
    assert stage_seconds(tmp_path, "p") == {"engine": 30.0}


def test_times_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    for number, stages in enumerate(({"engine": "1"}, {"engine": None}, [1], None)):
        stored(tmp_path, f"2026010{number + 1}T000000Z-p", stages)
    assert stage_seconds(tmp_path, "p") == {}


def test_without_reports_there_is_no_run(tmp_path: Path) -> None:
    assert list(stored_runs(tmp_path / "none", "p")) == []


def shown_by(context: RunContext, name: str) -> list[str]:
    lines: list[str] = []
    context.log = context.progress = lines.append
    with context._stage(name, "starting") as stage:
        stage("waits for port; Loading weights")
    return lines


def test_a_stage_says_how_long_it_took_and_how_long_is_left(tmp_path: Path) -> None:
    stored(tmp_path, "20260101T000000Z-control-cpu", {"engine": 125.0}, "control-cpu")
    context = context_of(tmp_path)
    assert shown_by(context, "engine") == [
        "engine: starting (2 min 05 s in the last run)",
        "engine, 0 s, about 2 min 05 s left: waits for port; Loading weights",
    ]
    assert context.record.stage_seconds.keys() == {"engine"}


def test_the_stage_of_a_first_run_only_starts(tmp_path: Path) -> None:
    first, second = shown_by(context_of(tmp_path), "engine")
    assert (first, second) == ("engine: starting", "engine, 0 s: waits for port; Loading weights")
