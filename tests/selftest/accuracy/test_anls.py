"""ANLS: distance, length and threshold, and against the scores of the original code."""

from __future__ import annotations

import random

import pytest
from tests.support.score_vectors import rows, score

from vlm_acceptance.accuracy.anls import SCORERS, _distance
from vlm_acceptance.accuracy.item import READ, UNRESOLVED, Score

ANLS = SCORERS["anls"]


def test_scores_are_those_of_the_original_code() -> None:
    read = rows("anls.jsonl")
    assert [[golds, answer, score(ANLS, golds, answer).value] for golds, answer, _ in read] == read
    assert len(read) > 200
    assert len({value for *_, value in read}) > 30


def distance_by_table(left: str, right: str) -> int:
    """The Levenshtein distance by its definition."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def test_the_distance_is_that_of_its_definition() -> None:
    draw = random.Random(1)
    for _ in range(500):
        left, right = ("".join(draw.choices(draw.choice(["ab", "abc ", "aß1"]), k=draw.randint(0, 12))) for _ in "12")
        assert _distance(left, right) == distance_by_table(left, right), (left, right)


@pytest.mark.parametrize(("length", "changed"), [(63, 20), (64, 20), (65, 20), (200, 90)])
def test_the_distance_of_long_texts_is_that_of_its_definition(length: int, changed: int) -> None:
    draw = random.Random(length)
    left = draw.choices("abcdef", k=length)
    right = list(left)
    for _ in range(changed):
        right[draw.randrange(length) : draw.randrange(length)] = draw.choice("xyz")
    assert _distance("".join(left), "".join(right)) == distance_by_table("".join(left), "".join(right))


@pytest.mark.parametrize(
    ("gold", "answer", "part"),
    [
        ("abcd", "abcd", 1.0),
        ("abcd", "ABCD", 1.0),
        ("abcd", "abcx", 0.75),
        ("abcd", "abxy", 0.5),
        ("abcde", "abxyz", 0.0),
        ("a  b", "a b", 1.0),
        ("", "", 1.0),
        ("$5.00", "5.00", 0.8),
        ("the cat", "cat", 0.0),
    ],
)
def test_the_score_is_the_similarity_unless_that_is_below_a_half(gold: str, answer: str, part: float) -> None:
    assert score(ANLS, [gold], answer).value == part


def test_the_length_is_that_of_the_texts_before_blanks_are_collapsed() -> None:
    assert score(ANLS, ["ab    cd"], "ab    xy").value == 1 - 2 / 8
    assert score(ANLS, ["ab cd"], "ab xy").value == 1 - 2 / 5


def test_the_length_is_that_of_the_texts_in_capitals() -> None:
    assert score(ANLS, ["ßß"], "ßx").value == 1 - 1 / 4
    assert score(ANLS, ["ab"], "ax").value == 1 - 1 / 2


def test_the_nearest_gold_counts() -> None:
    assert score(ANLS, ["zzzz", "abcd", "abzz"], "Abcx") == Score(True, "abcx", READ, 0.75)


def test_an_empty_answer_is_unresolved() -> None:
    assert score(ANLS, ["abcd"], " \n") == Score(False, "", UNRESOLVED)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("gold", "part"), [("a" * 200, 0.0), ("x" * 200, 0.0), ("ab" * 16_000, 0.0)])
def test_the_longest_answer_is_scored_like_any(gold: str, part: float) -> None:
    assert score(ANLS, [gold], "x" * 65_536).value == part


@pytest.mark.timeout(60)
def test_a_gold_as_long_as_a_long_answer_is_compared_with_it() -> None:
    assert score(ANLS, ["ab" * 8_192], "ba" * 8_192).value == 1 - 2 / 16_384
