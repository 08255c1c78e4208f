"""How far the log probabilities of the same tokens lie apart, in the units of the suite's check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vlm_acceptance.checks.logprobs import difference
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.numbers import largest
from vlm_acceptance.core.reference import PromptDistance
from vlm_acceptance.reference.route import Tops


def distance(tokens: Sequence[int], known: Tops, seen: Tops) -> PromptDistance:
    """The distance of `seen` from `known`; both follow the same tokens, which both list."""
    chosen = tuple(tokens)
    change = difference(LogProbs("", chosen, tuple(known)), LogProbs("", chosen, tuple(seen)))
    far = largest(change.listed) if change.listed else 0.0
    return PromptDistance(
        sum(change.listed), far, len(change.listed), change.possible, sum(change.chosen), len(change.chosen)
    )


def added(distances: Iterable[PromptDistance]) -> PromptDistance:
    """The distances of several prompts together; the largest is the largest of all."""
    rows = list(distances)
    return PromptDistance(
        sum(row.shift for row in rows),
        max((row.largest for row in rows), default=0.0),
        sum(row.listed for row in rows),
        sum(row.possible for row in rows),
        sum(row.chosen for row in rows),
        sum(row.tokens for row in rows),
    )
