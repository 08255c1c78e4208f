"""A stored accuracy run is scored again from its files: the same result, and NotStored for what they do not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import made_accuracy as made
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.accuracy import criteria, stored_answers
from vlm_acceptance.accuracy.answers_file import read
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog, by_server
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.errors import NotStored

Wire = Callable[[Answer], WireServer]
NAME = "made_val.jsonl"
REFUSED = response(b'{"error": {"message": "no"}}', "400 Bad Request")


def asked(plan: AccuracyPlan, folder: Path, wire: Wire, answer: Callable[[str, bool], Any]) -> AccuracyResult:
    """A run that asks an endpoint; its files are in `folder`."""
    folder.mkdir(parents=True)
    log = AnswerLog(plan, folder, str, lambda _: None, lambda _: None)
    log.open({"engine": "server", "url": "http://h"}, None, folder)
    return by_server(log, Client(wire(made.Endpoint(answer)).url), "m")


def again(plan: AccuracyPlan, stored: Path) -> AccuracyResult:
    own = stored.with_name(f"own-{plan.limits.low}")
    own.mkdir(exist_ok=True)
    return stored_answers.judged(plan, stored, own, str, "http://gone", "m")


def right(plan: AccuracyPlan) -> Callable[[str, bool], str]:
    texts = made.right_texts(plan)
    return lambda ident, is_blank: "D" if is_blank else texts[ident]


def test_the_result_is_that_of_the_run(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4})
    run = asked(plan, tmp_path / "run", wire, right(plan))
    judged = again(plan, tmp_path / "run")
    assert (judged.right, judged.answered, judged.stop, judged.incomplete) == (12, 12, None, "")
    assert dict(judged.counted) == dict(run.counted)
    assert list(judged.token_counts()) == list(run.token_counts())
    assert criteria.wrong_tokens(judged.token_counts(), made.TILE_TOKENS) == []
    assert judged.picture_ablation() == run.picture_ablation()
    assert judged.shape == run.shape
    assert read(tmp_path / "own-0" / NAME) == read(tmp_path / "run" / NAME)
    assert "--base-url http://gone" in judged.repeat


def test_refused_questions_are_findings_again(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    texts, lost = made.right_texts(plan), plan.order[3]
    run = asked(plan, tmp_path / "run", wire, lambda ident, _: REFUSED if ident == lost else texts[ident])
    judged = again(plan, tmp_path / "run")
    found = [criteria.refusals(one.total, one.answers) for one in (run, judged)]
    assert found[0] == found[1]
    assert found[0] != []


def test_an_early_stop_is_one_again(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, count=300, min_correct=290, max_correct=300, early_stop=True, concurrency=1)
    run = asked(plan, tmp_path / "run", wire, lambda _ident, _blank: "Z")
    judged = again(plan, tmp_path / "run")
    assert run.stop is not None
    assert judged.stop == run.stop


def test_other_limits_judge_the_same_answers(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    texts = made.right_texts(plan)
    asked(plan, tmp_path / "run", wire, lambda ident, _: texts[ident] if ident in plan.order[:9] else "Z")
    for least, found in ((9, 0), (10, 1)):
        judged = again(made.plan(tmp_path, min_correct=least), tmp_path / "run")
        limits = judged.plan.limits
        assert len(criteria.score_too_low(judged.right, judged.total, limits)) == found


def no_file(run: Path) -> str:
    (run / NAME).unlink()
    return f"not in the stored run: {NAME}"


def torn(run: Path) -> str:
    lines = (run / NAME).read_bytes().splitlines(keepends=True)
    (run / NAME).write_bytes(b"".join(lines[:9]) + lines[9][:40])
    return "not in the stored run: answers to 4 of 12 questions"


def other_prompt(run: Path) -> str:
    lines = (run / NAME).read_text("utf-8").splitlines()
    row = {**json.loads(lines[3]), "prompt_sha256": "0" * 64}
    (run / NAME).write_text("\n".join([*lines[:3], json.dumps(row), *lines[4:]]) + "\n", "utf-8")
    return "not in the stored run: an answer to this prompt of"


def no_answer(run: Path) -> str:
    lines = (run / NAME).read_text("utf-8").splitlines()
    (run / NAME).write_text("\n".join([lines[0], "{}", *lines[2:]]) + "\n", "utf-8")
    return "line 2 is not a valid answer"


def no_blanks(run: Path) -> str:
    (run / "made_val.blank.jsonl").unlink()
    return "not in the stored run: made_val.blank.jsonl"


@pytest.mark.parametrize("spoil", [no_file, torn, other_prompt, no_answer, no_blanks], ids=lambda one: one.__name__)
def test_what_the_files_do_not_hold_is_named(spoil: Callable[[Path], str], tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4})
    asked(plan, tmp_path / "run", wire, right(plan))
    said = spoil(tmp_path / "run")
    with pytest.raises(NotStored) as caught:
        again(plan, tmp_path / "run")
    assert said in str(caught.value)


def test_another_protocol_asks_other_prompts(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    asked(plan, tmp_path / "run", wire, right(plan))
    other = replace(plan, prompts=replace(plan.prompts, system="Think first."))  # type: ignore[type-var]
    with pytest.raises(NotStored, match="it has one to another prompt"):
        again(other, tmp_path / "run")
