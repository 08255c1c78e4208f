"""The rules of the InternVL repository: the first character, then an option's text; open questions as in MMMU's own."""

from __future__ import annotations

from vlm_acceptance.accuracy.item import CHOICE, UNRESOLVED, Item, Score
from vlm_acceptance.accuracy.mmmu.scorer_official import open_question


def internvl(item: Item, answer: str) -> Score:
    """The score of the repository; an empty answer, which is an error there, is unresolved."""
    if item.kind != CHOICE:
        return open_question(item, answer)
    if answer[:1] and answer[0] in item.letters:
        return Score(answer[0] in item.gold, answer[0])
    if len(answer) > 1:
        for letter, option in zip(item.letters, item.options, strict=True):
            if option.strip() in answer:
                return Score(letter in item.gold, letter)
    return Score(False, "", UNRESOLVED)
