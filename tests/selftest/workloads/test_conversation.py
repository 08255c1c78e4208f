"""Conversations that are sent: every part has a number of its own, and each request makes one part longer."""

from __future__ import annotations

import pytest

from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.tiles import TileRule, tiles
from vlm_acceptance.workloads import conversation

TALK = conversation.drawn(Chance(1))
CONTROL, SQUARE = TileRule(112, 16, 1, 6, True), TileRule(448, 256, 1, 1, False)


def test_every_text_has_a_number_of_its_own():
    text = str(TALK.messages)
    assert len(set(TALK.markers)) == len(TALK.markers) == len(TALK.parts)
    assert all(text.count(marker) == 1 for marker in TALK.markers)
    assert len({part.name for part in TALK.parts}) == len(TALK.parts)


@pytest.mark.parametrize("part", TALK.parts, ids=lambda part: part.name)
def test_one_part_is_made_longer(part):
    longer = TALK.longer(part, "more words")
    assert str(longer).replace(" more words", "", 1) == str(list(TALK.messages))
    assert "more words" in str(longer[part.message])


def test_the_same_seed_gives_the_same_conversation():
    assert conversation.drawn(Chance(1)) == TALK
    assert conversation.drawn(Chance(2)) != TALK


def test_requests_are_named_by_what_is_longer():
    bodies = conversation.growth_bodies("m", TALK, "x")
    assert set(bodies) == {
        conversation.ALONE, conversation.ALONE_LONGER, conversation.BASE, *(part.name for part in TALK.parts)
    }  # fmt: skip
    assert all(body["max_tokens"] == 1 for body in bodies.values())


def test_pictures_stand_before_the_questions_of_their_turns():
    seen = conversation.with_pictures(Chance(1), 2)
    first, second = (seen.messages([(8, 8), None])[n]["content"] for n in (1, 3))
    assert [part["type"] for part in first] == ["image_url", "text"]
    assert isinstance(second, str)
    assert [marker in str(first) for marker in seen.markers] == [True, False]


@pytest.mark.parametrize("rule", [CONTROL, SQUARE])
def test_larger_pictures_have_more_tiles_each_another_number(rule):
    counts = [tiles(*size, rule) for size in conversation.sizes_of_tiles(rule, 2)]
    assert counts == ([3, 4] if rule is CONTROL else [])


def test_bodies_about_tiles_change_one_picture_each():
    seen = conversation.with_pictures(Chance(1), 2)
    bodies = seen.tile_bodies("m", (8, 8), [(16, 8), (24, 8)])
    assert list(bodies) == [conversation.BASE_SEEN, *seen.names]
    assert len({str(body) for body in bodies.values()}) == len(bodies)
