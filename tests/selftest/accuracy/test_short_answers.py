"""What must not change a score of a short answer: other questions, their order, white space around the answer."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from tests.support.score_vectors import short

from vlm_acceptance.accuracy import anls
from vlm_acceptance.accuracy.chartqa import scorer as chartqa
from vlm_acceptance.accuracy.item import READ, UNRESOLVED, Item, Score, Scorer
from vlm_acceptance.accuracy.ocrbench import scorer as ocrbench
from vlm_acceptance.accuracy.textvqa import scorer as textvqa

SCORERS: Mapping[str, Scorer] = {**chartqa.SCORERS, **textvqa.SCORERS, **anls.SCORERS, **ocrbench.SCORERS}
ROUNDS = 20
PIECES = [
    *("60", "5%", "1,000", "12", "0", "nan", "two", "none", "The", "a", "dont", "yes", "No", "coca-cola", "straße"),
    *(".", ",", "?", "'s", "-", "\n", "  ", "\t", "\u00a0", "x ^ { 2 }", "[1, 2]", "答案", "😀", "", "."),
]
SPACES = ["", " ", "\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\x0b"]


def made(seed: int) -> tuple[list[Item], dict[str, str]]:
    """Forty questions with ten golds each and an answer to most of them, which often is nearly a gold."""
    draw = random.Random(seed)
    items, answers = [], {}
    for number in range(40):
        texts = ["".join(draw.choices(PIECES, k=draw.randint(0, 3))) for _ in range(3)]
        golds = draw.choices(texts, k=10)
        group = draw.choice(["HME100k", "IAM", "test_human"])
        items.append(short(*golds, group=group, ident=str(number)))
        if draw.random() < 0.9:
            near = draw.choice([*golds, draw.choice(PIECES)]) + draw.choice(["", "", ".", "x"])
            answers[str(number)] = near if draw.random() < 0.9 else ""
    return items, answers


@pytest.mark.parametrize("name", SCORERS)
def test_the_order_of_questions_and_answers_changes_no_score(name: str) -> None:
    for seed in range(ROUNDS):
        items, answers = made(seed)
        mixed = random.Random(seed).sample(items, len(items))
        reordered = dict(reversed(answers.items()))
        assert SCORERS[name](iter(mixed), reordered) == SCORERS[name](items, answers)


@pytest.mark.parametrize("name", SCORERS)
def test_white_space_around_an_answer_changes_no_score(name: str) -> None:
    for seed in range(ROUNDS):
        items, answers = made(seed)
        draw = random.Random(seed)
        spaced = {ident: draw.choice(SPACES) + text + draw.choice(SPACES) for ident, text in answers.items()}
        assert SCORERS[name](items, spaced) == SCORERS[name](items, answers)


@pytest.mark.parametrize("name", SCORERS)
def test_each_answer_is_scored_as_if_it_were_the_only_one(name: str) -> None:
    for seed in range(ROUNDS):
        items, answers = made(seed)
        alone: dict[str, Score] = {}
        for item in items:
            if item.id in answers:
                alone |= SCORERS[name]([item], {item.id: answers[item.id]})
        assert SCORERS[name](items, answers) == alone


@pytest.mark.parametrize("name", SCORERS)
def test_every_answer_gets_a_score_and_nothing_else_does(name: str) -> None:
    states, values = set(), set()
    for seed in range(ROUNDS):
        items, answers = made(seed)
        scores = SCORERS[name](items, {**answers, "of no question": "60"})
        assert set(scores) == set(answers)
        for score in scores.values():
            states.add(score.state)
            values.add(score.value)
            assert score.state == READ or score == Score(False, "", UNRESOLVED)
            assert score.right == (score.value >= 0.5)
    assert states == {READ, UNRESOLVED}
    assert {0, 1} <= values
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize("name", SCORERS)
def test_a_question_without_published_golds_gets_no_score(name: str) -> None:
    assert SCORERS[name]([short()], {"1": "60"}) == {}


@pytest.mark.parametrize("name", SCORERS)
def test_nothing_that_a_scorer_is_given_is_changed(name: str) -> None:
    items, answers = made(1)
    kept = list(items), dict(answers)
    SCORERS[name](items, answers)
    assert (items, answers) == kept
