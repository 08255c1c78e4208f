"""Two greedy answers to one request: equal, different at a near-tie of two tokens, or different.

Rounding orders two tokens that are nearly tied in one way or the other, and what follows depends on the token. So the
first difference is judged, by the log probabilities there; the rest of each text is judged by its own tokens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, is_figure
from vlm_acceptance.core.spelling import (
    SPECIAL,
    Spelled,
    has_blank_before,
    is_part,
    letters_of,
    spelled_of,
    without_blanks,
)
from vlm_acceptance.core.text import trimmed

SHOWN = 120


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two answers compare. `at` is the first different character, None without one.

    `gap` is how many nats the two tokens are apart there; it is None when the difference is no near-tie. `why` says
    then what is wrong.
    """

    at: int | None = None
    gap: float | None = None
    why: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the texts are equal."""
        return self.at is None

    @property
    def is_accepted(self) -> bool:
        """Whether the texts are equal or differ first at a near-tie."""
        return self.at is None or self.gap is not None

    def __str__(self) -> str:
        if self.at is None:
            return "equal"
        if self.gap is None:
            return self.why
        return f"different from character {self.at} on, where two tokens are {self.gap:.2f} nats apart"


def agreement(one: Spelled, other: Spelled, tie: float | None) -> Agreement:
    """Compare two answers of which one at least has tokens; `tie` in nats, None where the texts must be equal."""
    if one.text == other.text:
        return Agreement()
    pairs = itertools.zip_longest(one.text, other.text)
    at = next(place for place, (left, right) in enumerate(pairs) if left != right)
    if tie is None:
        return Agreement(at, why="the profile says that texts are equal")
    with_tokens = [side for side in (one, other) if side.tokens]
    if not with_tokens:
        return Agreement(at, why=f"it cannot be judged: {one.why or other.why or 'no log probabilities'}")
    gaps = [_gap(side, other if side is one else one, at) for side in with_tokens]
    gap = min(gaps)
    if is_at_most(gap, tie):
        return Agreement(at, gap)
    if gap < math.inf:
        return Agreement(at, why=f"the two tokens are {gap:.2f} nats apart")
    return Agreement(at, why="the other text goes on with none of the likeliest tokens")


def shown(one: Exchange, other: Exchange, tie: float | None) -> str:
    """How two answers compare, in words for a report."""
    sides = [spelled_of(one), spelled_of(other)]
    spelled = [side for side in sides if isinstance(side, Spelled)]
    return str(agreement(spelled[0], spelled[1], tie)) if len(spelled) == len(sides) else "no answer"


def _gap(known: Spelled, other: Spelled, at: int) -> float:
    """How much less likely than its own token `known` lists one that the other text goes on with; else infinity."""
    place = len(letters_of(known.text[:at]))
    places = known.places()
    gaps = [math.inf]
    for number in _candidates(known, other):
        end = max(places[number + 1], default=0)
        is_after_part = number > 0 and is_part(known.tokens[number - 1])
        for listed, logprob in known.others[number]:
            # vLLM 0.18 shows a part after a part as some other character
            token = "" if is_after_part and not listed[-1:].isascii() else listed
            # the token or the other one must cover or touch the place of the difference
            reach = len(without_blanks(token))
            begins = [begin for begin in places[number] if begin <= place <= max(end, begin + reach)]
            gap = known.chosen[number] - logprob
            if is_figure(gap) and any(_goes_on(other.text, begin, token) for begin in begins):
                gaps.append(max(0.0, gap))
    return min(gaps)


def _candidates(known: Spelled, other: Spelled) -> Sequence[int]:
    """The tokens of `known` at which the other may have taken another one."""
    numbers = range(len(known.tokens))
    if not other.tokens:
        return numbers
    pairs = itertools.zip_longest(known.tokens, other.tokens)
    first = next((number for number, (a, b) in enumerate(pairs) if a != b), None)
    if first is None:
        # the same tokens and another text; but parts of different characters look alike
        return [number for number in numbers if is_part(known.tokens[number])]
    begin = first
    while begin > 0 and is_part(known.tokens[begin - 1]):
        begin -= 1
    return numbers[begin : first + 1]


def _goes_on(text: str, begin: int, token: str) -> bool:
    """Whether a text goes on with a token at its letter number `begin`, or ends there if the token is a special one."""
    all_letters = letters_of(text)
    if SPECIAL.fullmatch(token.strip()):
        return len(all_letters) == begin
    if token.isspace():
        return has_blank_before(text, begin)
    if is_part(token):
        return True
    letters, rest = without_blanks(token), all_letters[begin:]
    return rest.startswith(letters) or (rest != "" and letters.startswith(rest))


def spelling(answer: Spelled, stop: str = "", where: str = "", exchange: Exchange | None = None) -> list[Finding]:
    """The text is what its own tokens spell, up to the stop string that ended it; not judged without tokens."""
    if answer.is_broken:
        return [Finding(kinds.SPELLING, "log probabilities that can be read", trimmed(answer.why), where, exchange)]
    if not answer.tokens or answer.is_spelled or (stop and answer.is_spelled_before(stop)):
        return []
    expected = f"the text that its tokens spell, {trimmed(''.join(answer.tokens), SHOWN)}"
    return [Finding(kinds.SPELLING, expected, trimmed(answer.text, SHOWN), where, exchange)]
