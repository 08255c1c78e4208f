"""Hidden defaults: what a request does not name has the value that it must have, as the tokens show."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vlm_acceptance.checks.parameters import CHANCE, ROUNDING, unanswered
from vlm_acceptance.checks.parameters_answer import Answered, answer_of, first_difference, mass, sampled_places, share
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, mean
from vlm_acceptance.core.text import trimmed


def named(defaults: Mapping[str, float]) -> str:
    """Values by name, for a reader."""
    return ", ".join(f"{name} {value:g}" for name, value in defaults.items())


def same_when_named(
    unnamed: Exchange, explicit: Exchange, defaults: Mapping[str, float], tie: float | None, steady: float
) -> list[Finding]:
    """A greedy request that names nothing has the tokens and log probabilities of one that names the defaults.

    Tokens that are nearer than `tie` nats may be taken in place of each other, with None no token; `steady` limits the
    mean |Δ logprob|.
    """
    read = [answer_of(unnamed), answer_of(explicit)]
    if missing := [unanswered(answer) for answer in read if isinstance(answer, NoReply)]:
        return missing[:1]
    seen, wanted = (answer for answer in read if isinstance(answer, Answered))
    at = first_difference(seen.names, wanted.names)
    if at is not None and (tie is None or not _is_tied(seen, wanted, at, tie)):
        observed = f"hidden default: a request that names none of these has another text from token {at} on"
        expected = f"the text as with {named(defaults)}, {trimmed(wanted.text, 120)}, not {trimmed(seen.text, 120)}"
        return [Finding(kinds.PARAMETER_DEFAULTS, expected, observed)]
    places = range(len(seen.names) if at is None else at + 1)
    listed = [(seen.listed[place], wanted.listed[place]) for place in places if place < len(wanted.listed)]
    shifts = [abs(a[token] - b[token]) for a, b in listed for token in a if token in b]
    if not shifts or is_at_most(mean(shifts), steady):
        return []
    expected = f"the log probabilities as with {named(defaults)}, within {steady:g}"
    observed = f"hidden default: a request that names none of these has others, by {mean(shifts):.3f} in the mean"
    return [Finding(kinds.PARAMETER_DEFAULTS, expected, observed)]


def _is_tied(seen: Answered, wanted: Answered, at: int, tie: float) -> bool:
    if at >= min(len(seen.names), len(wanted.names)):
        return False
    return any(
        is_at_most(max(one.listed[at].values()) - one.listed[at].get(token, -math.inf), tie)
        for one, token in ((wanted, seen.names[at]), (seen, wanted.names[at]))
    )


def same_sample(unnamed: Exchange, explicit: Exchange, defaults: Mapping[str, float]) -> list[Finding]:
    """With one seed, a sampled request that names nothing has the tokens of one that names the defaults."""
    read = [answer_of(unnamed), answer_of(explicit)]
    if missing := [unanswered(answer) for answer in read if isinstance(answer, NoReply)]:
        return missing[:1]
    seen, wanted = (answer for answer in read if isinstance(answer, Answered))
    at = first_difference(seen.names, wanted.names)
    if at is None:
        return []
    expected = f"the text as with {named(defaults)} and the same seed, not {trimmed(seen.text, 120)}"
    observed = f"hidden default: a sampled request that names none of these has another text from token {at} on"
    return [Finding(kinds.PARAMETER_DEFAULTS, expected, observed)]


def is_not_narrowed(exchange: Exchange, temperature: float) -> list[Finding]:
    """Sampled tokens are not all among those listed as the likeliest, where chance alone would not keep them there."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    inside, logarithm = 0, 0.0
    for name, chosen, listed in zip(answer.names, answer.chosen, answer.listed, strict=True):
        others = {token: value for token, value in listed.items() if token != name}
        is_inside = bool(others) and chosen >= min(others.values())
        inside += is_inside
        likeliest = math.fsum(share(value / temperature) for value in (listed if is_inside else others).values())
        chance = likeliest / mass(listed, name, temperature)
        logarithm += math.log(min(1.0, chance)) if chance > 0 else 0.0
    tokens, top = len(answer.names), max(map(len, answer.listed), default=0)
    if inside < tokens or logarithm > CHANCE or not tokens:
        return []
    observed = f"hidden default: all {tokens} tokens are among the {top} likeliest, as if top_k or top_p had been sent"
    expected = "a request that names neither top_k nor top_p is sampled from all tokens"
    return [Finding(kinds.PARAMETER_DEFAULTS, expected, observed)]


def is_unpenalised(exchange: Exchange) -> list[Finding]:
    """Every token of a greedy request that names no penalty is the likeliest one, by its own log probabilities."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    places = sampled_places(answer, ROUNDING)
    if not places:
        return []
    observed = f"hidden default: without a penalty, {len(places)} of {len(answer.names)} tokens are less likely ones"
    return [Finding(kinds.PARAMETER_DEFAULTS, "only the likeliest tokens at temperature 0", observed)]
