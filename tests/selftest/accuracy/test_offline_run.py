"""An accuracy run by a stand-in of the offline engine: questions, blank pictures and text twins in one job."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.support import made_accuracy as made

from vlm_acceptance.accuracy.answers_file import read
from vlm_acceptance.accuracy.offline_run import by_offline_engine
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog
from vlm_acceptance.engine.process import marked_processes, run_tag

# Answers every question with A and counts every text; REFUSED is the number of a question it refuses.
ENGINE = """#!{python}
import json, sys
requests = json.load(open(sys.argv[2]))["requests"]
told = {{"started_utc": "2026-11-22T20:00:00+00:00", "elapsed_s": 0.5}}
with open(sys.argv[3], "w") as file:
    print(json.dumps({{"ready_s": 1.0, "vllm": "0.18.0"}}), file=file)
    for request in requests:
        row = {{"text": "A", "finish_reason": "stop", "prompt_tokens": 23, "completion_tokens": 1}}
        if request["id"].startswith("text of "):
            row["prompt_tokens"] = 7
        if request["id"] in {refused!r}:
            row = {{"error": "ValueError: too long"}}
        print(json.dumps({{"id": request["id"], **row, **told}}), file=file)
    print(json.dumps({{"batch_s": 1.0}}), file=file)
"""


def run_of(plan: AccuracyPlan, place: Path, refused: list[str]) -> AccuracyResult:
    folder = place / "run"
    folder.mkdir()
    python = place / "python"
    python.write_text(ENGINE.format(python=sys.executable, refused=refused), "utf-8")
    python.chmod(0o755)
    book = AnswerLog(plan, folder, str, lambda _: None, lambda _: None)
    book.open({"engine": "offline"}, None, place)
    mark = f"{run_tag()}-{place.name}"
    run = by_offline_engine(book, python, "vllm", Path("/m"), os.environ, mark)
    assert marked_processes(mark) == []
    return run


def test_questions_blank_pictures_and_text_twins_are_told_apart(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, engine="offline", sighted={"sample": 4})
    run = run_of(plan, tmp_path, [])
    assert {answer.text for answer in run.answers.values()} == {"A"}
    assert (sorted(run.answers), sorted(run.blanks)) == (sorted(plan.order), sorted(plan.blank_ids))
    assert read(run.file)[1] == run.answers
    assert run.texts == {plan.request(ident).sha256: 7 for ident in plan.order}
    assert {answer.model for answer in run.answers.values()} == {None}


@pytest.mark.parametrize("which", ["text of ", "blank ", ""])
def test_what_the_engine_refuses_is_left_out_or_refused_and_nothing_else(tmp_path: Path, which: str) -> None:
    plan = made.plan(tmp_path, engine="offline", sighted={"sample": 4})
    first = plan.order[0]
    hash_of = plan.request(first).sha256
    run = run_of(plan, tmp_path, [which + (hash_of if which == "text of " else first)])
    refused = {
        "": [ident for ident, answer in run.answers.items() if answer.status == "refused"],
        "blank ": [ident for ident, answer in run.blanks.items() if answer.status == "refused"],
        "text of ": [] if hash_of in run.texts else [first],
    }
    assert {part: ids for part, ids in refused.items() if ids} == {which: [first]}
