"""Parameters of length, of sampling, seed and choices: each has its effect, as the answer's own tokens show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vlm_acceptance.checks.parameters_answer import (
    Answered,
    answer_of,
    answers_of,
    chance_log,
    first_difference,
    likeliest_chances,
    sampled_places,
)
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

# rounding may order tokens that are nearer than this in another way, in nats
ROUNDING = 0.1
# what is less likely than one in a million is no chance
CHANCE = math.log(1e-6)
# standard deviations that chance does not reach
DEVIATIONS = 6.0


def unanswered(why: NoReply, where: str = "") -> Finding:
    """A request that got no answer that can be read."""
    return Finding(kinds.PARAMETER_ANSWER, "an answer that can be read", str(why), where, why.exchange)


def has_length(name: str, exchange: Exchange, least: int, most: int, reason: str | None) -> list[Finding]:
    """The answer has `least` to `most` tokens, and this finish_reason if one is given."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    found = []
    wanted = f"{least} tokens" if least == most else f"{least} to {most} tokens"
    if answer.length is None or not least <= answer.length <= most:
        seen = "no count of tokens" if answer.length is None else f"{answer.length} tokens"
        found.append(Finding(kinds.PARAMETER_LENGTH, f"{wanted}, by {name}", f"{name} is not obeyed: {seen}"))
    if reason is not None and answer.reason != reason:
        expected = f"finish_reason {reason!r} at the limit of {name}"
        found.append(Finding(kinds.PARAMETER_LENGTH, expected, f"finish_reason {trimmed(answer.reason, 40)}"))
    return found


def is_greedy(name: str, exchange: Exchange) -> list[Finding]:
    """Every token is the likeliest one, though the temperature is high: `name` leaves no other."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply) or not answer.names:
        return [unanswered(answer if isinstance(answer, NoReply) else NoReply("no log probabilities", exchange))]
    places = sampled_places(answer, ROUNDING)
    if not places:
        return []
    observed = f"{name} is not obeyed: {len(places)} of {len(answer.names)} tokens are less likely ones"
    return [Finding(kinds.PARAMETER_SAMPLING, f"only the likeliest tokens, by {name}", observed)]


def is_sampled(what: str, exchanges: Sequence[Exchange], temperature: float) -> list[Finding]:
    """As many tokens are not the likeliest ones as the temperature, of 1 or more, demands; see `likeliest_chances`."""
    answers = [answer_of(exchange) for exchange in exchanges]
    if missing := [unanswered(answer) for answer in answers if isinstance(answer, NoReply)]:
        return missing[:1]
    read = [answer for answer in answers if isinstance(answer, Answered)]
    sampled, tokens = sum(len(sampled_places(one, 0.0)) for one in read), sum(len(one.names) for one in read)
    if not tokens:  # without log probabilities
        return [] if len({one.text for one in read}) > 1 else [_always_the_same(what, read)]
    if len(read) > 1 and _all_alike(read) and (len(read) - 1) * chance_log(read[0], temperature) <= CHANCE:
        return [_always_the_same(what, read)]
    chances = [chance for one in read for chance in likeliest_chances(one, temperature)]
    expected = tokens - math.fsum(chances)
    room = DEVIATIONS * math.sqrt(math.fsum(chance * (1 - chance) for chance in chances))
    too_many = temperature == 1 and sampled > expected + room + 1
    if sampled >= expected - room - 1 and not too_many:
        return []
    shown = f"at least {expected:.0f}" if temperature > 1 else f"about {expected:.0f}"
    observed = f"{what} is not obeyed: {sampled} of {tokens} sampled tokens are not the likeliest one"
    return [Finding(kinds.PARAMETER_SAMPLING, f"{shown} of them, as at temperature {temperature:g}", observed)]


def _all_alike(answers: Sequence[Answered]) -> bool:
    return all(_tokens(one) == _tokens(answers[0]) for one in answers)


def _always_the_same(what: str, answers: Sequence[Answered]) -> Finding:
    observed = f"{what} is not obeyed: the same text {len(answers)} times, {trimmed(answers[0].text, 80)}"
    return Finding(kinds.PARAMETER_SAMPLING, "different texts of a request that is sampled", observed)


def seed_holds(same: Sequence[Exchange], other: Exchange, temperature: float, *, exact: bool) -> list[Finding]:
    """One seed gives the same tokens again, and another seed gives others.

    Without `exact`, rounding may change a token: then some two answers must begin alike for longer than chance allows.
    """
    read = [answer_of(exchange) for exchange in (*same, other)]
    if missing := [unanswered(answer) for answer in read if isinstance(answer, NoReply)]:
        return missing[:1]
    *again, another = [answer for answer in read if isinstance(answer, Answered)]
    if not all(sampled_places(answer, ROUNDING) for answer in again if answer.names):
        return []  # it was not sampled at all: the check of the temperature reports that
    found, first = [], again[0]
    at = first_difference(_tokens(first), _tokens(again[1]))
    is_same = at is None or (not exact and _is_shared(again, temperature))
    if not is_same:
        observed = f"seed is not obeyed: the same seed gives another text from token {at} on"
        found.append(Finding(kinds.PARAMETER_SEED, "the same text for the same seed", observed))
    if is_same and _is_shared([first, another], temperature):
        observed = f"seed is not obeyed: another seed gives the same text, {trimmed(another.text, 80)}"
        found.append(Finding(kinds.PARAMETER_SEED, "another text for another seed", observed))
    return found


def needs_another(same: Sequence[Exchange]) -> bool:
    """Whether two answers with one seed differ: where rounding may change a token, more of them are needed."""
    read = [answer_of(exchange) for exchange in same]
    answers = [answer for answer in read if isinstance(answer, Answered)]
    return len(answers) == len(read) and any(_tokens(one) != _tokens(answers[0]) for one in answers)


def choices_differ(exchange: Exchange, n: int, temperature: float) -> list[Finding]:
    """There are `n` choices, with indexes from 0 on, not all with one text, and the usage counts the tokens of all."""
    answers = answers_of(exchange)
    if isinstance(answers, NoReply):
        return [unanswered(answers)]
    found = []
    if sorted(answers) != list(range(n)):
        observed = f"n is not obeyed: choices with the indexes {trimmed(sorted(answers), 80)}"
        return [Finding(kinds.PARAMETER_CHOICES, f"choices with the indexes 0 to {n - 1}", observed)]
    tokens, first = sum(len(one.names) for one in answers.values()), answers[0]
    counted = first.length
    if (counted is None or tokens) and counted != tokens:
        expected = f"the {tokens} tokens of all choices in usage.completion_tokens"
        found.append(Finding(kinds.PARAMETER_CHOICES, expected, "no count" if counted is None else str(counted)))
    if (
        n > 1
        and _all_alike(list(answers.values()))
        and (n - 1) * chance_log(first, temperature) <= CHANCE
        and sampled_places(first, ROUNDING)
    ):
        observed = f"{n} times the same choice, {trimmed(first.text, 80)}"
        found.append(Finding(kinds.PARAMETER_CHOICES, f"{n} choices, each sampled by itself", observed))
    return found


def _tokens(answer: Answered) -> tuple[str, ...]:
    return answer.names or (answer.text,)


def _is_shared(answers: Sequence[Answered], temperature: float) -> bool:
    """Whether two of the answers begin alike for longer than chance allows."""
    for number, one in enumerate(answers):
        for other in answers[number + 1 :]:
            at = first_difference(_tokens(one), _tokens(other))
            if one.names and chance_log(one, temperature, at) <= CHANCE:
                return True
            if not one.names and at is None:
                return True
    return False


def shown(exchanges: Mapping[str, Exchange], temperature: float) -> dict[str, str]:
    """For a report: how likely each answer would be if its tokens were sampled freely, as a power of ten."""
    read = {name: answer_of(exchange) for name, exchange in exchanges.items()}
    return {
        name: f"10^{chance_log(answer, temperature) / math.log(10):.0f}"
        for name, answer in read.items()
        if isinstance(answer, Answered) and answer.names
    }
