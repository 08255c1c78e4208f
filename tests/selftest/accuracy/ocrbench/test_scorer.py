"""OCRBench's containment: what is compared, and against the scores of the original code."""

from __future__ import annotations

import pytest
from tests.support.score_vectors import rows, score

from vlm_acceptance.accuracy.item import UNRESOLVED, Score
from vlm_acceptance.accuracy.ocrbench.scorer import FORMULAS, SCORERS

CONTAINMENT = SCORERS["containment"]


def right(gold: str, answer: str, group: str = "IIIT5K") -> bool:
    return score(CONTAINMENT, [gold], answer, group).right


def test_scores_are_those_of_the_original_code() -> None:
    read = rows("ocrbench.jsonl")
    seen = [[*row[:3], int(score(CONTAINMENT, row[0], row[1], FORMULAS if row[2] else "IAM").value)] for row in read]
    assert seen == read
    assert len(read) > 120
    assert {(formula, found) for _, _, formula, found in read} == {(False, 0), (False, 1), (True, 0), (True, 1)}


def test_the_gold_may_stand_anywhere_in_the_answer_without_capitals() -> None:
    assert right("CENTRE", "It says 'Centre'.")
    assert right(" centre ", "centre")
    assert right("two words", "two\nwords")
    assert not right("two words", "twowords")
    assert not right("1,000", "1000")
    assert not right("centre", "")


def test_in_formulas_capitals_count_and_blanks_do_not() -> None:
    assert right("x ^ { 2 }", "= x^{2}\n+ 1", FORMULAS)
    assert not right("X ^ { 2 }", "x^{2}", FORMULAS)
    assert not right("x ^ 2", "x\t^2", FORMULAS)


def test_the_rule_for_formulas_is_that_of_one_group_only() -> None:
    assert not right("x ^ 2", "x^2")
    assert right("X", "x")


def test_any_of_several_golds_suffices() -> None:
    assert score(CONTAINMENT, ["one", "two"], "It is two") == Score(True, "it is two")


def test_a_gold_is_compared_as_a_whole_and_not_by_its_letters() -> None:
    assert not score(CONTAINMENT, ("there",), "e").right


def test_an_empty_answer_is_unresolved() -> None:
    assert score(CONTAINMENT, ["one"], "\n") == Score(False, "", UNRESOLVED)


@pytest.mark.timeout(60)
def test_the_longest_answer_is_scored_like_any() -> None:
    assert not right("a" * 200 + "b", "a" * 65_536)
    assert not right("a" * 200 + "b", "a " * 32_768, "HME100k")
