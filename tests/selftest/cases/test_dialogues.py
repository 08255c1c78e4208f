"""Conversations that are drawn anew: a seed decides them, and each question has one right answer in its lines."""

from __future__ import annotations

import pytest

from vlm_acceptance.cases import dialogues
from vlm_acceptance.cases.challenge_pictures import are_apart
from vlm_acceptance.core.chance import Chance


def drawn(seed: int) -> list[dialogues.Dialogue]:
    return dialogues.draw(seed, 112)


def test_a_seed_decides_the_conversations() -> None:
    assert [one.lines[-1].text for one in drawn(1)] == [one.lines[-1].text for one in drawn(1)]
    assert [one.answer for one in drawn(1)] == [one.answer for one in drawn(1)]
    assert len({tuple(one.answer for one in drawn(seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("seed", range(20))
def test_every_conversation_ends_with_a_question_of_the_user_that_no_line_answers(seed: int) -> None:
    made = drawn(seed)
    assert are_apart([picture for one in made for picture in one.shown])
    for one in made:
        assert one.lines[-1].role == "user"
        words = [part[0] for part in one.parts]
        assert not any(word in line.text.split() for word in words for line in one.lines)


def test_where_a_prompt_may_have_one_picture_no_question_has_two() -> None:
    made = dialogues.draw(1, 112, most_pictures=1)
    assert len(made) == 8
    assert all(len(one.shown) == 1 for one in made)


@pytest.mark.parametrize(("share", "is_picture"), dialogues.HIDDEN)
def test_what_is_hidden_stands_after_its_share_of_a_long_text(share: float, is_picture: bool) -> None:
    counts = [60] * len(dialogues.HIDDEN)
    one = dialogues.draw_long(7, 112, counts)[dialogues.HIDDEN.index((share, is_picture))]
    if is_picture:
        place = next(n for n, line in enumerate(one.lines) if line.picture)
        before = "".join(line.text for line in one.lines[:place])
        whole = "".join(line.text for line in one.lines)
        assert abs(len(before) / len(whole) - share) < 0.1
        return
    text = one.lines[0].text
    assert text.count(one.answer) == 1
    assert abs(text.index(one.answer) / len(text) - share) < 0.1


def test_long_texts_hold_no_answer_by_chance() -> None:
    text = dialogues.text(Chance(1), 500)
    assert not set(text.replace(".", "").split()) & {*dialogues.INKS}
    assert not any(place in text for place in dialogues.PLACES)
    assert not any(char.isdigit() for char in text)
