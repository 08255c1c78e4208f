"""An accuracy run by a stand-in of the offline engine; questions as requests of its job, rows as answers."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from tests.support import made_accuracy as made

from vlm_acceptance.accuracy.answers_file import read
from vlm_acceptance.accuracy.blank_pictures import BlankPictures, with_blank_pictures
from vlm_acceptance.accuracy.item import PictureFile, PreparedRequest
from vlm_acceptance.accuracy.offline_run import (
    answer_of,
    by_offline_engine,
    offline_requests,
    stored_files,
    written_files,
)
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.engine.offline import OfflineEngine
from vlm_acceptance.engine.process import run_tag, tagged_processes

PNG, JPEG = PictureFile("pictures/a.png", "aa" * 32, 8, 8), PictureFile("pictures/b.jpg", "bb" * 32, 8, 8)
PARAMS = {"temperature": 0, "max_tokens": 1024, "stop_token_ids": [2], "n": 1, "stream": False}
ASKED = PreparedRequest("q1", "system", "Image-1: <image>\nWhich?", (PNG, JPEG), PARAMS)
ROW = {
    "id": "q1",
    "text": "B",
    "finish_reason": "stop",
    "prompt_tokens": 9,
    "completion_tokens": 1,
    "started_utc": "2026-11-22T20:00:00+00:00",
    "elapsed_s": 0.5,
}

# Answers every question with A, counts a prompt by its number of pictures, refuses the requests of the ids `refused`.
ENGINE = """#!{python}
import json, sys
requests = json.load(open(sys.argv[2]))["requests"]
times = {{"started_utc": "2026-11-22T20:00:00+00:00", "elapsed_s": 0.5}}
with open(sys.argv[3], "w") as file:
    print(json.dumps({{"ready_s": 1.0, "vllm": "0.18.0"}}), file=file)
    for request in requests:
        row = {{"text": "A", "finish_reason": "stop", "prompt_tokens": 23, "completion_tokens": 1}}
        if request["id"].startswith("count/"):
            row["prompt_tokens"] = 6 + len(request["messages"][-1]["content"])
        if request["id"] in {refused!r}:
            row = {{"error": "ValueError: too long"}}
        print(json.dumps({{"id": request["id"], **row, **times}}), file=file)
    print(json.dumps({{"batch_s": 1.0}}), file=file)
"""


def run_of(plan: AccuracyPlan, place: Path, refused: list[str]) -> AccuracyResult:
    folder = place / "run"
    folder.mkdir()
    python = place / "python"
    python.write_text(ENGINE.format(python=sys.executable, refused=refused), "utf-8")
    python.chmod(0o755)
    log = AnswerLog(plan, folder, str, lambda _: None, lambda _: None)
    log.open({"engine": "offline"}, None, place)
    tag = f"{run_tag()}-{place.name}"
    engine = OfflineEngine(plan.profile, python, "vllm", Path("/m"), os.environ, tag, lambda _: None)
    run = by_offline_engine(log, engine)
    assert tagged_processes(tag) == []
    assert {path.name for path in folder.glob("*offline*")} == {"offline-mmmu.log"}
    return run


def test_questions_blank_pictures_and_counts_are_kept_apart(tmp_path: Path) -> None:
    plan = made.plan(tmp_path, engine="offline", sighted={"sample": 4})
    run = run_of(plan, tmp_path, [])
    assert {answer.text for answer in run.answers.values()} == {"A"}
    assert (sorted(run.answers), sorted(run.blank_answers)) == (sorted(plan.order), sorted(plan.blank_ids))
    assert read(run.file)[1] == run.answers
    expected = {ident: plan.counting_requests(plan.request(ident)) for ident in plan.order}
    assert run.counted == {one.sha256: 7 + len(one.pictures) for pair in expected.values() for one in pair}
    assert {answer.model for answer in run.answers.values()} == {None}


@pytest.mark.parametrize("which", ["count/", "blank/", "question/"])
def test_only_what_the_engine_refuses_is_refused_or_left_out(tmp_path: Path, which: str) -> None:
    plan = made.plan(tmp_path, engine="offline", sighted={"sample": 4})
    first = plan.order[0]
    hash_of = plan.counting_requests(plan.request(first))[0].sha256
    run = run_of(plan, tmp_path, [which + (hash_of if which == "count/" else first)])
    refused = {
        "question/": [ident for ident, answer in run.answers.items() if answer.status == "refused"],
        "blank/": [ident for ident, answer in run.blank_answers.items() if answer.status == "refused"],
        "count/": [] if hash_of in run.counted else [first],
    }
    assert {part: ids for part, ids in refused.items() if ids} == {which: [first]}


def test_request_names_pictures_by_file_and_holds_no_body_field_that_is_no_sampling(tmp_path: Path) -> None:
    (request,) = offline_requests([ASKED], stored_files(tmp_path))
    assert request["messages"] == [
        {"role": "system", "content": "system"},
        {
            "role": "user",
            "content": [
                {
                    "type": "image_file",
                    "path": str(tmp_path / "pictures/a.png"),
                    "sha256": "aa" * 32,
                    "lead": "data:image/png;base64,",
                },
                {
                    "type": "image_file",
                    "path": str(tmp_path / "pictures/b.jpg"),
                    "sha256": "bb" * 32,
                    "lead": "data:image/jpeg;base64,",
                },
                {"type": "text", "text": ASKED.text},
            ],
        },
    ]
    assert request["sampling"] == {"temperature": 0, "max_tokens": 1024, "stop_token_ids": [2], "n": 1}
    assert request["chat"] == {}
    assert len(json.dumps(request)) < 1000


def test_tile_limit_is_an_option_of_the_chat() -> None:
    (request,) = offline_requests([PreparedRequest("q", "", "t", (), {}, max_tiles=6)], stored_files(Path("/d")))
    assert request["chat"] == {"mm_processor_kwargs": {"max_dynamic_patch": 6}}
    assert [message["role"] for message in request["messages"]] == ["user"]


def test_made_pictures_are_written_once_under_the_hash_of_their_bytes(tmp_path: Path) -> None:
    white = written_files(BlankPictures(), tmp_path / "white")
    requests = list(offline_requests([with_blank_pictures(ASKED), with_blank_pictures(ASKED)], white))
    (file,) = (tmp_path / "white").iterdir()
    part = requests[0]["messages"][1]["content"][0]
    assert part["path"] == str(file)
    assert part["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() == file.stem


def test_row_becomes_an_answer() -> None:
    answer = answer_of(ROW, ASKED)
    assert (answer.id, answer.status, answer.text, answer.error) == ("q1", "answered", "B", "")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.elapsed_s) == (9, 1, 0.5)
    assert (answer.prompt_sha256, answer.pictures, answer.attempts) == (ASKED.sha256, ("aa" * 32, "bb" * 32), ())


def test_a_row_names_no_model_and_its_text_is_cut_like_any() -> None:
    answer = answer_of({**ROW, "text": "x" * 300_000}, ASKED)
    assert (answer.status, answer.model, answer.finish_reason) == ("answered", None, "stop")
    assert (answer.text, answer.error) == ("x" * 65536, "text cut at 65536 of 300000 characters")


def test_row_with_an_error_is_refused_and_has_no_text() -> None:
    row = {"id": "q1", "error": "ValueError: too long", "started_utc": "x", "elapsed_s": 0.5}
    answer = answer_of(row, ASKED)
    assert (answer.status, answer.text, answer.error) == ("refused", None, "ValueError: too long")


@pytest.mark.parametrize("missing", ["text", "finish_reason", "prompt_tokens", "elapsed_s"])
def test_row_that_lacks_a_part_is_our_own_problem(missing: str) -> None:
    row = {name: value for name, value in ROW.items() if name != missing}
    with pytest.raises(HarnessProblem, match=missing):
        answer_of(row, ASKED)
