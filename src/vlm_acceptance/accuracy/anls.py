"""ANLS of DocVQA and InfoVQA: the similarity to the nearest gold, 0 below one half (arXiv 1907.00490)."""

from __future__ import annotations

from vlm_acceptance.accuracy.item import Item, Score, Scorer
from vlm_acceptance.accuracy.short_answers import graded, one_by_one


def anls(item: Item, answer: str) -> Score:
    """The score of the script of the Robust Reading Competition, which is InternVL's infographicsvqa_eval.py, too."""
    read = _plain(answer)
    length = len(answer.upper())
    return graded(max(_similarity(gold, read, length) for gold in item.gold), read)


def _plain(text: str) -> str:
    return " ".join(text.strip().lower().split())


def _similarity(gold: str, read: str, answer_length: int) -> float:
    """1 - distance / length, 0 below one half.

    As in the original, the distance is that of plain texts, but the length is that of the texts before, in capitals:
    blanks within a text and letters such as ß, which becomes SS, make a difference count less.
    """
    plain, length = _plain(gold), max(len(gold.upper()), answer_length)
    # the distance is at least the difference in length: an answer of 64 KB is not compared letter by letter
    if 2 * abs(len(plain) - len(read)) > length:
        return 0.0
    similarity = 1 - (_distance(plain, read) / length if length else 0.0)
    return similarity if similarity >= 0.5 else 0.0


def _distance(left: str, right: str) -> int:
    """The Levenshtein distance of two texts.

    Bit-parallel: a column of the table is two integers whose bits say where it rises and falls (Myers, JACM 46, 1999;
    in Hyyrö's form). It takes one step per character of the shorter text.
    """
    if left == right:
        return 0
    rows, columns = (left, right) if len(left) >= len(right) else (right, left)
    every = (1 << len(rows)) - 1
    last = 1 << len(rows) >> 1
    places: dict[str, int] = dict.fromkeys(columns, 0)
    for place, character in enumerate(rows):
        if character in places:
            places[character] |= 1 << place
    rises, falls, distance = every, 0, len(rows)
    for character in columns:
        equal = places[character]
        no_change = (((equal & rises) + rises) ^ rises) | equal
        right_rises = (falls | ~(no_change | rises)) & every
        right_falls = rises & no_change
        distance += bool(right_rises & last) - bool(right_falls & last)
        right_rises = (right_rises << 1 | 1) & every
        right_falls = right_falls << 1 & every
        equal |= falls
        rises = (right_falls | ~(equal | right_rises)) & every
        falls = right_rises & equal
    return distance


SCORERS: dict[str, Scorer] = {"anls": one_by_one(anls)}
