"""Answers and texts of requests that may have been preempted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlm_acceptance.checks.load import Asked
from vlm_acceptance.checks.preemption import answers_kept, texts_whole, too_few
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply, Reply, Usage

SIGN, PLATE = (Asked(name, ((name,),), frozenset({name}), golden=name) for name in ("sign", "plate"))
TEXT = Reply("words", "length", Usage(10, 800, 810), "m", 9.0)


def reply(text: str) -> Reply:
    return replace(TEXT, text=text)


def test_own_answers_are_right_however_often_they_are_asked() -> None:
    assert answers_kept([SIGN, PLATE, SIGN], [reply("sign"), reply("plate"), reply("sign")], 8) == []


def test_an_answer_to_another_question_is_named() -> None:
    summary, found = answers_kept([SIGN, PLATE], [reply("plate"), reply("plate")], 8)
    assert summary.kind is kinds.LOAD_COUNT
    assert (found.kind, found.observed) == (kinds.LOAD_MIXED_UP, "the answer to plate: 'plate'")


def test_a_text_with_other_than_its_tokens_is_cut() -> None:
    assert texts_whole([TEXT, TEXT], 800) == []
    assert texts_whole([replace(TEXT, usage=None)], 800) == []
    summary, found = texts_whole([TEXT, replace(TEXT, usage=Usage(10, 300, 310), finish_reason="stop")], 800)
    assert (summary.kind, found.kind) == (kinds.LOAD_ERRORS, kinds.PREEMPTION_CUT)
    assert found.observed == "300 tokens, finish_reason 'stop'"
    assert [one.kind for one in texts_whole([NoReply("reset")], 800)] == [kinds.LOAD_ERRORS, kinds.LOAD_NO_ANSWER]


@pytest.mark.parametrize(
    ("preempted", "said"),
    [
        (None, "not known whether anything was preempted"),
        (0.0, "nothing was preempted while 9 long texts"),
        (3.0, "only 3 requests were preempted"),
        (float("nan"), "only nan requests were preempted"),
        (20.0, ""),
    ],
)
def test_nothing_preempted_is_no_pass(preempted: float | None, said: str) -> None:
    why = too_few(preempted, 20, 9, 60)
    assert why.startswith(said)
    assert bool(why) == bool(said)
