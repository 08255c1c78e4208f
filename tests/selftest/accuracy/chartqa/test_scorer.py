"""Relaxed accuracy: which numbers are close, and against the scores of the original code."""

from __future__ import annotations

import pytest
from tests.support.score_vectors import rows, score

from vlm_acceptance.accuracy.chartqa.scorer import SCORERS
from vlm_acceptance.accuracy.item import UNRESOLVED, Score

INTERNVL, GOLD = "relaxed_internvl", "relaxed_gold"


def both(gold: str, answer: str) -> tuple[bool, bool]:
    """Whether the rule of record and the later one find an answer right."""
    return score(SCORERS[INTERNVL], [gold], answer).right, score(SCORERS[GOLD], [gold], answer).right


def test_scores_are_those_of_the_original_code() -> None:
    read = rows("chartqa.jsonl")
    seen = [[*row[:2], *(int(score(SCORERS[name], row[0], row[1]).value) for name in (INTERNVL, GOLD))] for row in read]
    assert seen == read
    assert len(read) > 250
    assert {(record, later) for *_, record, later in read} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("answer", "record", "later"),
    [
        ("105.2", True, False),
        ("105.3", False, False),
        ("95", False, True),
        ("95.3", True, True),
        ("94.9", False, False),
    ],
)
def test_the_rule_of_record_divides_by_the_answer_and_the_later_one_by_the_gold(
    answer: str, record: bool, later: bool
) -> None:
    assert both("100", answer) == (record, later)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("14", "1.4e1"), ("12", "１２"), ("10", "1_0"), ("45%", "0.45"), ("0.45", "45 %"), ("5", "+5.")],
)
def test_a_number_is_what_python_reads_as_one(gold: str, answer: str) -> None:
    assert both(gold, answer) == (True, True)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("45", "45%"), ("1200", "1,200"), ("5", "$5"), ("45", "45 years"), ("yes", "Yes."), ("nan", "5"), ("yes ", "yes")],
)
def test_other_texts_must_be_equal(gold: str, answer: str) -> None:
    assert both(gold, answer) == (False, False)


def test_a_reference_of_zero_must_be_written_alike() -> None:
    assert both("0", "0.0") == (False, False)
    assert both("0", "0") == (True, True)
    assert both("0.0", "1e-9") == (False, False)


def test_a_year_is_a_number() -> None:
    assert both("2015", "2016") == (True, True)


def test_a_list_as_text_is_one_text_for_the_rule_of_record_and_several_golds_for_the_later_one() -> None:
    assert both("[2013, 2014]", "[2013, 2014]") == (True, False)
    assert both("[2013, 2014]", "2014") == (False, True)


def test_code_in_a_gold_is_text() -> None:
    assert both("[__import__('os').getpid()]", "[__import__('os').getpid()]") == (True, True)


def test_the_best_of_several_golds_counts() -> None:
    for scorer in SCORERS.values():
        assert score(scorer, ["red", "7"], "7.1") == Score(True, "7.1")
        assert not score(scorer, ["red", "7"], "8").right


def test_an_empty_answer_is_unresolved() -> None:
    for scorer in SCORERS.values():
        assert score(scorer, ["red"], " \n") == Score(False, "", UNRESOLVED)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", ["9" * 65_536, "1_" * 32_767 + "1", "0." + "3" * 65_534, "5" + "%" * 65_535])
def test_the_longest_answer_is_scored_like_any(answer: str) -> None:
    for scorer in SCORERS.values():
        assert not score(scorer, ["60"], answer).right
