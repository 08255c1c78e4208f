"""All scorers of MMMU by name; they need only stored answers.

White space around an answer is removed first: some originals do not, and a line feed would change the score.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping

from vlm_acceptance.accuracy.item import CHOICE, UNRESOLVED, Item, Score, Scorer
from vlm_acceptance.accuracy.mmmu import scorer_internvl, scorer_official, scorer_vlmevalkit
from vlm_acceptance.accuracy.short_answers import one_by_one

_SEED = 42
_NUMBER_AT_END = re.compile(r"\d+$")


def _answered(items: Iterable[Item], answers: Mapping[str, str]) -> Iterator[tuple[Item, str]]:
    return ((item, answers[item.id].strip()) for item in items if item.id in answers)


def official_seed42(items: Iterable[Item], answers: Mapping[str, str]) -> dict[str, Score]:
    """MMMU's own scores with its guesses, drawn as its code draws them in one run over these answers.

    A guess counts as `read`, as in the reference. Guesses depend on which questions are answered, so the number equals
    the reference's only if all are.
    """
    scores: dict[str, Score] = {}
    guessed: list[tuple[tuple[str, int, str], str, tuple[str, ...]]] = []
    for item, text in _answered(items, answers):
        scores[item.id] = scorer_official.strict(item, text)
        if item.kind == CHOICE and scores[item.id].state == UNRESOLVED:
            guessed.append((_drawing_order(item), item.letters, item.gold))
    draw = random.Random(_SEED)  # noqa: S311 - the reference's own sequence is wanted
    for (_, _, ident), letters, gold in sorted(guessed):
        letter = draw.choice(letters)
        scores[ident] = Score(letter in gold, letter)
    return scores


def _drawing_order(item: Item) -> tuple[str, int, str]:
    # the reference draws by subject in alphabetical order, then by number
    number = _NUMBER_AT_END.search(item.id)
    return item.group, int(number[0]) if number else 0, item.id


SCORERS: dict[str, Scorer] = {
    "vlmevalkit_2024_07": one_by_one(scorer_vlmevalkit.july_2024),
    "vlmevalkit_head": one_by_one(scorer_vlmevalkit.head),
    "official_strict": one_by_one(scorer_official.strict),
    "official_seed42": official_seed42,
    "internvl": one_by_one(scorer_internvl.internvl),
}
