"""Answers that need a whole conversation: bars, groups that are lost as a whole, words at the beginning, mix-ups."""

from __future__ import annotations

import pytest

from vlm_acceptance.cases import dialogues as cases
from vlm_acceptance.checks.dialogues import Judged, judged, lost_groups
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Reply, Usage
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.workloads.dialogues import asked, groups

DRAWN = cases.draw(1, 112)
ASKED = asked(DRAWN)
RIGHT = [one.answer for one in DRAWN]
LANGUAGE = 6
UNREADABLE = "I cannot say."


def reply(text: str) -> Reply:
    return Reply(text, "stop", Usage(100, 5, 105), "m", 0.1)


def seen(texts: list[str], least: int = 6) -> Judged:
    return judged(ASKED, [reply(text) for text in texts], least, kinds.DIALOGUE_COUNT)


def with_answer(place: int, text: str) -> list[str]:
    return [*RIGHT[:place], text, *RIGHT[place + 1 :]]


def test_right_answers_are_no_finding() -> None:
    assert seen(RIGHT, least=8) == Judged([], [True] * 8, 0)


@pytest.mark.parametrize(("wrong", "kind"), [(2, None), (3, kinds.DIALOGUE_COUNT)])
def test_too_few_right_answers_can_be_calibrated(wrong: int, kind: kinds.FindingClass | None) -> None:
    found = seen([UNREADABLE] * wrong + RIGHT[wrong:])
    assert (found.findings[0].kind if found.findings else None) is kind
    assert {one.severity for one in found.findings} <= {Severity.ABILITY}


def test_an_answer_in_the_language_of_the_question_is_wrong() -> None:
    number, (chinese, _) = DRAWN[LANGUAGE].parts
    english = next(name for name, text in cases.INKS_ZH.items() if text == chinese)
    assert not seen(with_answer(LANGUAGE, f"{number[0]} {english}")).right[LANGUAGE]
    assert seen(with_answer(LANGUAGE, f"数字是{number[0]}，颜色是{chinese}。")).right[LANGUAGE]


def test_the_number_of_another_conversation_is_fatal() -> None:
    found = seen(with_answer(0, RIGHT[2]))
    assert {one.kind for one in found.findings if one.fatal} == {kinds.DIALOGUE_COUNT, kinds.NEW_MIXED_UP}


def test_a_question_is_about_one_of_two_pictures_and_the_other_answer_is_wrong() -> None:
    first, second = DRAWN[2], DRAWN[4]
    assert [len(one.shown) for one in (first, second)] == [2, 2]
    found = seen(with_answer(2, next(one.answer for one in first.shown if one.answer != RIGHT[2])), least=8)
    assert not found.right[2]
    assert not any(one.fatal for one in found.findings)


def test_a_group_that_is_lost_as_a_whole_is_named() -> None:
    texts = [*RIGHT[:2], UNREADABLE, UNREADABLE, *RIGHT[4:]]
    replies = [reply(text) for text in texts]
    found = lost_groups(kinds.DIALOGUE_LOST, groups(DRAWN), seen(texts).right, replies, "the reason")
    assert [one.where for one in found] == ["the first of two pictures of earlier turns"]
    assert "the reason" in found[0].observed


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a"]])
def test_one_wrong_answer_alone_loses_no_group(names: list[str]) -> None:
    replies = [reply("x"), reply("y")]
    assert lost_groups(kinds.LONG_PLACE, names, [False, True], replies, "") == []
