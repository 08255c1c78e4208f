"""MMMU's own parsing rules without its guesses: a choice is unresolved if the answer names no option."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vlm_acceptance.accuracy.item import CHOICE, UNRESOLVED, Item, Score

_EDGES = ",.!?;:'"
_LEAST_WORDS_FOR_TEXT = 6
_LEADS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
# numbers in a lower-cased answer: thousands in groups, with an exponent, plain. A match never begins inside a run of
# digits: if there is none at the first digit, there is none at the others, and trying each would take quadratic time.
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d+(?:\.\d+)?e[+-]?\d+"),
    re.compile(r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?!e[+-]?\d+)(?![,\d])"),
)


def strict(item: Item, answer: str) -> Score:
    """The reference's score, except that a choice is unresolved where the reference would guess."""
    return choice(item, answer) if item.kind == CHOICE else open_question(item, answer)


def choice(item: Item, answer: str) -> Score:
    """`(B)` anywhere, else ` B `, else an option's text in an answer of six or more words; the last match counts."""
    trimmed = answer
    for edge in _EDGES:
        trimmed = trimmed.strip(edge)
    padded = f" {trimmed} "
    places = {letter: padded.rfind(f"({letter})") for letter in item.letters}
    if not _found(places):
        places = {letter: padded.rfind(f" {letter} ") for letter in item.letters}
    if not _found(places) and len(padded.split()) >= _LEAST_WORDS_FOR_TEXT:
        lowered = padded.lower()
        places = {letter: lowered.rfind(text.lower()) for letter, text in zip(item.letters, item.options, strict=True)}
    if not _found(places):
        return Score(False, "", UNRESOLVED)
    letter = max(places, key=places.__getitem__)
    return Score(letter in item.gold, letter)


def _found(places: dict[str, int]) -> bool:
    return any(place >= 0 for place in places.values())


def open_question(item: Item, answer: str) -> Score:
    """Right if a key part of the answer contains a gold text, or one of its numbers equals a gold number.

    `read` is the right candidate, else the first one.
    """
    golds = [value for gold in item.gold for value in _values(gold)]
    first = ""
    for candidate in _candidates(answer):
        first = first or candidate
        if any(_same(value, gold) for value in _values(candidate) for gold in golds):
            return Score(True, candidate)
    return Score(False, first) if first else Score(False, "", UNRESOLVED)


def _same(value: str | float, gold: str | float) -> bool:
    if isinstance(value, str):
        return isinstance(gold, str) and gold in value
    return value == gold


def _values(text: str) -> list[str | float]:
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lowered = text.lower()
        # a single character must stand at the edge of a word
        return [f" {lowered}", f"{lowered} "] if len(lowered) == 1 else [lowered]


def _candidates(answer: str) -> Iterator[str]:
    parts = _key_parts(answer)
    yield from parts
    for part in parts:
        for number in _NUMBERS:
            yield from number.findall(part)


def _key_parts(answer: str) -> list[str]:
    whole = answer.strip().strip(".").lower()
    lines = whole.split("\n")
    tails = [_tail(line, _LEADS) for line in lines[:-1]]
    # an equation counts in the last line only
    tails.append(_tail(lines[-1], (*_LEADS, "=")))
    # a tail that is one punctuation character is no answer
    return [tail for tail in tails if tail and tail not in set(_EDGES)] or [whole]


def _tail(line: str, leads: tuple[str, ...]) -> str:
    shortest = ""
    for lead in leads:
        if lead in line:
            tail = line.rsplit(lead, 1)[-1].strip()
            if not shortest or len(tail) < len(shortest):
                shortest = tail
    return shortest
