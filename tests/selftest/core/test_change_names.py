"""Names of changes in sentences: they are joined with commas, and translated one by one."""

from __future__ import annotations

import re

from vlm_acceptance.core.change_names import PHRASES, phrase
from vlm_acceptance.core.sentences import FEWEST_LETTERS


def test_a_phrase_can_be_told_from_its_neighbours_in_a_list() -> None:
    assert [one for one in PHRASES.values() if re.search("[,;:]", one)] == []
    assert len(set(PHRASES.values())) == len(PHRASES)


def test_a_phrase_has_letters_enough_to_be_translated() -> None:
    bare = [re.sub("<[^>]*>", "", one) for one in PHRASES.values()]
    assert [one for one in bare if sum(map(str.isalpha, one)) <= FEWEST_LETTERS] == []


def test_an_unknown_change_is_its_own_name() -> None:
    assert phrase("repeat: start 2") == "repeat: start 2"
