"""What must not change a score: the order of the questions, white space around an answer, a run done in parts."""

from __future__ import annotations

import random

import pytest
from tests.support.questions import choice, opened

from vlm_acceptance.accuracy.item import DECLINED, READ, UNRESOLVED, Item, Score
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS

ROUNDS = 40
WITHOUT_GUESSES = [scorer for scorer in SCORERS if scorer != "official_seed42"]
TEXTS = ["$6", "$17", "red", "Red and blue", "1/10", "None", "increase", "A", "Vitamin C", "<image 2>", " spaced ", ""]
GOLDS = [("60",), ("1/64",), ("C",), ("A",), ("Tampa", "Florida"), ("x",), ("-5",), ("transformer model",)]
PIECES = [
    *("A", "B", "C", "(A)", "(D)", "[B]", "**C**", "Z", "I", "a", "The answer is", "is ", "answer ", "so ", "=", "not"),
    *("$6", "red", "60", "-5", "1/64", "6e1", "1,234", "Tampa", "x", "<image 2>", "Vitamin C", "None", "答案"),
    *(".", ",", ":", "'", "。", "\n", "  ", "\t", "\u00a0"),
    *("Cannot determine the answer", "I can't process this file.", "Failed to obtain answer via API"),
]
SPACES = ["", " ", "\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\x0b"]


def made(draw: random.Random) -> tuple[list[Item], dict[str, str]]:
    """Up to sixty questions of several subjects and a random answer to most of them."""
    items: list[Item] = []
    for subject in draw.sample(SUBJECTS, 5):
        for number in range(1, draw.randint(2, 12)):
            ident = f"validation_{subject}_{number}"
            if draw.random() < 0.3:
                items.append(opened(*draw.choice(GOLDS), ident=ident))
            else:
                options = draw.sample(TEXTS, draw.randint(2, 9))
                items.append(choice(*options, gold="ABCDEFGHI"[draw.randrange(len(options))], ident=ident))
    answers = {
        item.id: draw.choice(["", " "]).join(draw.choice(PIECES) for _ in range(draw.randint(0, 7)))
        for item in items
        if draw.random() < 0.9
    }
    return items, answers


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_order_of_questions_and_answers_changes_no_score(scorer: str) -> None:
    for seed in range(ROUNDS):
        draw = random.Random(seed)
        items, answers = made(draw)
        scores = SCORERS[scorer](items, answers)
        mixed = draw.sample(items, len(items))
        reordered = dict(draw.sample(list(answers.items()), len(answers)))
        assert SCORERS[scorer](iter(mixed), reordered) == scores


@pytest.mark.parametrize("scorer", SCORERS)
def test_white_space_around_an_answer_changes_no_score(scorer: str) -> None:
    for seed in range(ROUNDS):
        draw = random.Random(seed)
        items, answers = made(draw)
        spaced = {ident: draw.choice(SPACES) + text + draw.choice(SPACES) for ident, text in answers.items()}
        assert SCORERS[scorer](items, spaced) == SCORERS[scorer](items, answers)


@pytest.mark.parametrize("scorer", WITHOUT_GUESSES)
def test_a_run_in_two_parts_has_the_scores_of_one(scorer: str) -> None:
    for seed in range(ROUNDS):
        draw = random.Random(seed)
        items, answers = made(draw)
        first = {ident: text for ident, text in answers.items() if draw.random() < 0.5}
        second = {ident: text for ident, text in answers.items() if ident not in first}
        joined = SCORERS[scorer](items, first) | SCORERS[scorer](items, second)
        assert joined == SCORERS[scorer](items, answers)


def test_guesses_depend_on_which_questions_are_answered() -> None:
    items = [choice("$6", "$7", "$8", ident=f"validation_Art_{number}") for number in range(1, 31)]
    whole = SCORERS["official_seed42"](items, {item.id: "" for item in items})
    later = SCORERS["official_seed42"](items, {item.id: "" for item in items[1:]})
    assert any(whole[ident] != score for ident, score in later.items())


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_score_for_every_answer_and_never_a_right_one_without_a_reading(scorer: str) -> None:
    states = set()
    for seed in range(ROUNDS):
        items, answers = made(random.Random(seed))
        scores = SCORERS[scorer](items, answers)
        assert set(scores) == set(answers)
        for score in scores.values():
            states.add(score.state)
            if score.state == READ:
                assert score.read
            else:
                assert score == Score(False, "Z" if score.state == DECLINED else "", score.state)
    declines = scorer.startswith("vlmevalkit")
    assert states == ({READ, UNRESOLVED, DECLINED} if declines else {READ, UNRESOLVED})


@pytest.mark.parametrize("scorer", SCORERS)
def test_nothing_that_a_scorer_is_given_is_changed(scorer: str) -> None:
    items, answers = made(random.Random(1))
    kept = list(items), dict(answers)
    SCORERS[scorer](items, answers)
    assert (items, answers) == kept


def test_guessing_leaves_the_random_numbers_of_the_process_alone() -> None:
    items, answers = made(random.Random(1))
    before = random.getstate()
    SCORERS["official_seed42"](items, dict.fromkeys(answers, ""))
    assert random.getstate() == before
