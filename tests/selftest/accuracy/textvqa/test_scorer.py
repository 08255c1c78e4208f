"""VQA accuracy: how answers are processed, and against the scores of the original code."""

from __future__ import annotations

import pytest
from tests.support.score_vectors import rows, score

from vlm_acceptance.accuracy.item import READ, UNRESOLVED, Score
from vlm_acceptance.accuracy.textvqa.scorer import SCORERS
from vlm_acceptance.core.errors import EnvironmentProblem

INTERNVL, VLMEVALKIT = SCORERS["vqa_internvl"], SCORERS["vqa_vlmevalkit"]


def golds(gold: str, people: int) -> list[str]:
    """Ten golds, of which so many are the given one."""
    return [gold] * people + ["zebra"] * (10 - people)


def both(gold: str, answer: str) -> tuple[bool, bool]:
    """Whether the answer equals the gold once both are processed: InternVL's way, VLMEvalKit's."""
    return score(INTERNVL, golds(gold, 5), answer).right, score(VLMEVALKIT, golds(gold, 5), answer).right


def test_scores_are_those_of_the_original_code() -> None:
    read = rows("textvqa.jsonl")
    seen = [[*row[:2], score(INTERNVL, row[0], row[1]).value, score(VLMEVALKIT, row[0], row[1]).value] for row in read]
    assert seen == read
    assert len(read) > 350
    assert {value for row in read for value in row[2:]} == {0, 0.3, 0.6, 0.9, 1}
    assert {(record > 0, other > 0) for *_, record, other in read} == {
        (False, False), (False, True), (True, False), (True, True)
    }  # fmt: skip


@pytest.mark.parametrize(("people", "part"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (5, 1), (9, 1), (10, 1)])
def test_the_score_is_how_many_of_ten_people_gave_the_answer(people: int, part: float) -> None:
    for scorer in SCORERS.values():
        assert score(scorer, golds("cola", people), "Cola") == Score(part >= 0.5, "cola", READ, part)


def test_golds_are_processed_before_they_are_counted() -> None:
    for scorer in SCORERS.values():
        assert score(scorer, ["The Cola", "cola.", "a cola!", *golds("x", 0)[:7]], "cola").value == 0.9


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("2", "Two"), ("0", "none"), ("dog", "the dog"), ("don't", "dont"), ("coca cola", "coca-cola"), ("x", "(x)")],
)
def test_spellings_of_one_answer_are_equal(gold: str, answer: str) -> None:
    assert both(gold, answer) == (True, True)


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("5", "5.", (True, False)),
        ("dog 's", "dog's", (True, False)),
        ("1000", "1,000", (True, True)),
        ("1 000", "1,000", (False, False)),
        ("ab", "a,b", (True, False)),
        ("a b", "a,b", (False, True)),
        ("coca cola", "coca - cola", (True, True)),  # deleted, as it is beside blanks
        ("coca cola", "coca-cola -", (False, False)),  # deleted at both places
        ("cocacola", "coca-cola -", (True, True)),
        ("50", "50%", (False, False)),
        ("id've", "I'd've", (False, False)),
        ("3.5", "35", (False, False)),
    ],
)
def test_the_two_ways_differ_where_the_originals_do(gold: str, answer: str, equal: tuple[bool, bool]) -> None:
    assert both(gold, answer) == equal


def test_only_the_first_32_periods_are_deleted() -> None:
    for scorer in SCORERS.values():
        assert score(scorer, golds("x", 5), "b." * 32).read == "b" * 32
        assert score(scorer, golds("x", 5), "b." * 34).read == "b" * 33 + ".b."


def test_an_answer_of_which_nothing_is_left_is_unresolved() -> None:
    for scorer in SCORERS.values():
        assert score(scorer, golds("x", 5), "The") == Score(False, "", UNRESOLVED)
        assert score(scorer, golds("a", 5), "The") == Score(True, "", READ, 1.0)


@pytest.mark.parametrize("count", [1, 9, 11])
def test_a_question_must_have_ten_golds(count: int) -> None:
    for scorer in SCORERS.values():
        with pytest.raises(EnvironmentProblem, match=f"question 1 has {count} answers instead of 10"):
            score(scorer, ["x"] * count, "x")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("answer", ["a" * 65_536, ", . " * 16_384, "-" * 65_536, "1," * 32_768])
def test_the_longest_answer_is_scored_like_any(answer: str) -> None:
    for scorer in SCORERS.values():
        assert score(scorer, golds("x", 5), answer).value == 0
