"""A text beside the texts of its tokens, as an answer with `logprobs` gives them.

A token alone may have another text than in its answer. Slow tokenizers drop the blank before it; they clean up blanks
before punctuation, and a character at an apostrophe can get lost by that. A token can be a part of a character, and
vLLM 0.18 shows the part after it as a character of its own, not always the right one. So the two are compared without
blanks, and with these exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.numbers import figure, read_json

TOP = 5
# by text, not by token id: the text of the alternatives is needed, too
PARAMS: Mapping[str, Any] = {"logprobs": True, "top_logprobs": TOP}
BY_ID = "token_id:"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SPECIAL = re.compile(r"<[^<>\s]+>")
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
AFTER_APOSTROPHE = 2
PUNCTUATION = ".,?!"
Places = frozenset[int]


@dataclass(frozen=True, slots=True)
class Spelled:
    """An answer's text, the text and log probability of each token, and the likeliest other tokens in its place.

    `tokens` is empty for an answer without log probabilities; `why` says why. `is_broken`: it has some that cannot be
    read.
    """

    text: str
    tokens: tuple[str, ...] = ()
    chosen: tuple[float, ...] = ()
    others: tuple[tuple[tuple[str, float], ...], ...] = ()
    why: str = field(default="", compare=False)
    is_broken: bool = field(default=False, compare=False)

    def places(self) -> list[Places]:
        """For each token, and for the end: at which characters of `letters_of` the text it may begin."""
        return [steps[-1] for steps in self._steps()]

    @property
    def is_spelled(self) -> bool:
        """Whether the tokens spell the whole text, and nothing else."""
        return len(letters_of(self.text)) in self.places()[-1]

    def is_spelled_before(self, stop: str) -> bool:
        """Whether the tokens spell the text and then the stop string, which the text leaves out."""
        whole = Spelled(self.text + stop, self.tokens)
        end = len(letters_of(whole.text))
        # the last token may go on behind the stop string
        return any(end in step for steps in whole._steps() for step in steps)

    def _steps(self) -> list[list[Places]]:
        """The places before the first token, then those after each character of each token."""
        speller, found = _Speller(letters_of(self.text)), [[frozenset({0})]]
        for token in self.tokens:
            found.append(speller.steps(found[-1][-1], token))
        return found


def without_blanks(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


def letters_of(text: str) -> str:
    """The text without white space and replacement characters; how many there are does not show in its tokens."""
    return without_blanks(text).replace(UNKNOWN, "")


def has_blank_before(text: str, place: int) -> bool:
    """Whether white space, or the end of the text, comes before the letter number `place` of `letters_of(text)`."""
    letters = [number for number, one in enumerate(text) if letters_of(one)]
    if place >= len(letters):
        return True
    before = letters[place - 1] + 1 if place else 0
    return any(one.isspace() for one in text[before : letters[place]])


def is_part(token: str) -> bool:
    """Whether the text of a token does not show what it adds to the text: a part of a character, or nothing."""
    return not without_blanks(token) or UNKNOWN in token


class _Speller:
    """Follows tokens along a text without blanks; remembers an apostrophe across tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._optional = 0
        self._after_part = False

    def steps(self, places: Places, token: str) -> list[Places]:
        """The places after each character of a token that begins at `places`; the last one is the end of the token."""
        letters = without_blanks(token)
        if self._after_part and not letters[-1:].isascii():
            letters = letters[:-1] + UNKNOWN
        self._after_part = token == "" or UNKNOWN in token
        if not letters:
            return [places if token else places | self._one_more(places)]
        found = [places]
        for letter in letters:
            found.append(self._step(found[-1], letter))
        # special tokens are left out of a text
        return [*found[1:], found[-1] | places] if SPECIAL.fullmatch(token.strip()) else found[1:]

    def _step(self, places: Places, letter: str) -> Places:
        if letter == UNKNOWN:
            return places | self._one_more(places)
        is_apostrophe = letter in APOSTROPHES
        is_optional = is_apostrophe or self._optional > 0 or letter in PUNCTUATION
        self._optional = AFTER_APOSTROPHE if is_apostrophe else max(0, self._optional - 1)
        reached = frozenset(place + 1 for place in places if self._text[place : place + 1] == letter)
        if not is_optional:
            return reached
        # clean-up loses a mark after a blank, never one inside a number
        return reached | {place for place in places if not self._joins_digits(place)}

    def _joins_digits(self, place: int) -> bool:
        return self._text[place - 1 : place].isdigit() and self._text[place : place + 1].isdigit()

    def _one_more(self, places: Places) -> Places:
        return frozenset(place + 1 for place in places if place < len(self._text))


def spelled_of(exchange: Exchange) -> Spelled | NoReply:
    """The answer of a chat exchange with its tokens, streamed or not."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return reply
    if exchange.request.stream:
        return spelled_by(reply.text, (read_json(f.data) for f in exchange.frames if f.data.strip() != "[DONE]"))
    return spelled_by(reply.text, (exchange.json(),))


def spelled_by(text: str, bodies: Iterable[Mapping[str, Any]]) -> Spelled:
    """The tokens of the first choice of a body, or of all chunks of a stream."""
    try:
        return _spelled_by(text, bodies)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as broken:
        why = f"unreadable log probabilities ({type(broken).__name__}: {broken})"
        return Spelled(text, why=why, is_broken=True)


def _spelled_by(text: str, bodies: Iterable[Mapping[str, Any]]) -> Spelled:
    entries: list[Mapping[str, Any]] = []
    for body in bodies:
        for choice in body["choices"]:
            if choice.get("index", 0) == 0:
                entries += (choice.get("logprobs") or {}).get("content") or []
    tokens, chosen = tuple(map(_text, entries)), tuple(figure(entry["logprob"]) for entry in entries)
    if any(token.startswith(BY_ID) for token in tokens):
        return Spelled(text, why="the tokens are named by their ids alone")
    return Spelled(text, tokens, chosen, tuple(map(_others, entries)), "" if tokens else "no log probabilities")


def _text(entry: Mapping[str, Any]) -> str:
    listed = entry.get("bytes")
    return str(entry["token"]) if listed is None else bytes(listed).decode("utf-8", "replace")


def _others(entry: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    listed = [(str(one["token"]), _text(one), figure(one["logprob"])) for one in entry.get("top_logprobs") or ()]
    own = next((one for one in listed if one[0] == entry["token"] and one[2] == figure(entry["logprob"])), None)
    if own is not None:
        listed.remove(own)  # once: several tokens may have one text
    # a token that is named by its id has an unknown text, like a part of a character
    return tuple(("" if text.startswith(BY_ID) else text, logprob) for _, text, logprob in listed)
