"""Distances of answers token by token, samples of so many tokens, and how well a distance separates two deployments."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.core.logprobs import LogProbs


@dataclass(frozen=True, slots=True)
class Token:
    """Sums over one or more tokens of answers, in nats.

    `shift` is the sum of |Δ| over the `listed` tokens of both lists, of `possible` in the known ones; `others` counts
    tokens that the other deployment would not have chosen; `tokens` counts all. `along` and `length` are what
    `projected` says of each token.
    """

    shift: float = 0.0
    listed: int = 0
    possible: int = 0
    others: int = 0
    tokens: int = 0
    along: float = 0.0
    length: float = 0.0

    @property
    def mean(self) -> float:
        """Mean |Δ| of the tokens in both lists."""
        return self.shift / self.listed if self.listed else float("inf")

    @property
    def common(self) -> float:
        """Share of the known lists' tokens that the other lists have too."""
        return self.listed / self.possible if self.possible else 0.0

    @property
    def other_share(self) -> float:
        """Share of tokens that are others: all that greedy tokens alone can say."""
        return self.others / self.tokens if self.tokens else 0.0

    @property
    def share_of_fault(self) -> float:
        """How much of the predicted change there is: about 0 in a right deployment, about 1 in one with the fault."""
        return self.along / self.length if self.length else 0.0


def summed(tokens: Sequence[Token]) -> Token:
    """All of them together."""
    columns = zip(
        *((t.shift, t.listed, t.possible, t.others, t.tokens, t.along, t.length) for t in tokens), strict=True
    )
    shift, listed, possible, others, count, along, length = map(sum, columns)
    return Token(shift, int(listed), int(possible), int(others), int(count), along, length)


def tokens_of(known: LogProbs, seen: LogProbs, predicted: LogProbs | None = None) -> list[Token]:
    """One Token for each place up to and including the first different one; `predicted` is `known` with a fault."""
    made: list[Token] = []
    for place, (listed, other) in enumerate(zip(known.top, seen.top, strict=False)):
        both = [(token, other[token] - p) for token, p in listed.items() if token in other]
        along, length = projected(listed, other, predicted.top[place]) if predicted else (0.0, 0.0)
        is_other = seen.tokens[place] != known.tokens[place] or max(other, key=other.__getitem__) != seen.tokens[place]
        shift = sum(abs(delta) for _, delta in both)
        made.append(Token(shift, len(both), len(listed), int(is_other), 1, along, length))
        if seen.tokens[place] != known.tokens[place]:
            break
    return made


def projected(known: Mapping[int, float], seen: Mapping[int, float], fault: Mapping[int, float]) -> tuple[float, float]:
    """How far the lists of one token moved along the change that a fault is predicted to make, and that change squared.

    Both without their mean over the tokens of all three lists: rounding moves the chosen token, and with it all others.
    Both divided by the size of the two moves: a token that rounding moves far must not outvote the others.
    """
    both = [(seen[token] - p, fault[token] - p) for token, p in known.items() if token in seen and token in fault]
    if not both:
        return 0.0, 0.0
    moved, predicted = (sum(column) / len(both) for column in zip(*both, strict=True))
    moves = [(a - moved, b - predicted) for a, b in both]
    size = sum(a * a + b * b for a, b in moves)
    return (sum(a * b for a, b in moves) / size, sum(b * b for _, b in moves) / size) if size else (0.0, 0.0)


def distances(
    known: Mapping[str, LogProbs],
    seen: Mapping[str, LogProbs],
    predicted: Mapping[str, LogProbs] | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, list[Token]]:
    """The Tokens of each prompt that all of them have, by its id."""
    names = [name for name in (only or known) if name in known and name in seen]
    if predicted is not None:
        names = [name for name in names if name in predicted]
    return {name: tokens_of(known[name], seen[name], predicted[name] if predicted else None) for name in names}


class Sampler:
    """Draws prompts with replacement until their answers have `size` tokens; the last answer is cut."""

    def __init__(self, prompts: Mapping[str, Sequence[Token]]) -> None:
        self._prompts = [list(tokens) for tokens in prompts.values() if tokens]
        self._totals = [summed(tokens) for tokens in self._prompts]

    def draw(self, size: int, dice: random.Random) -> Token:
        """One sample of exactly `size` tokens."""
        parts: list[Token] = []
        while size > 0:
            at = dice.randrange(len(self._prompts))
            if self._totals[at].tokens <= size:
                parts.append(self._totals[at])
            else:
                parts += self._prompts[at][:size]
            size -= self._totals[at].tokens
        return summed(parts)


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Share of pairs in which the wrong deployment has the larger value; equal ones count half."""
    ordered = sorted(right)
    wins = sum(bisect.bisect_left(ordered, value) + bisect.bisect_right(ordered, value) for value in wrong)
    return wins / (2 * len(right) * len(wrong))


def rows_together(*runs: Mapping[str, Sequence[Token]]) -> dict[str, Sequence[Token]]:
    """The prompts of several runs of one deployment as prompts to draw from."""
    pairs = itertools.chain.from_iterable(((f"{n}/{name}", t) for name, t in run.items()) for n, run in enumerate(runs))
    return dict(pairs)
