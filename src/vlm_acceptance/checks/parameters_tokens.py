"""Parameters that change the score of tokens: the answer leaves a reference where they make another token likelier.

The reference is greedy, without the parameter, and lists the likeliest tokens with their log probabilities. So the
place of the first change, and the token there, are known before the second request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.parameters import ROUNDING, unanswered
from vlm_acceptance.checks.parameters_answer import Answered, answer_of, first_difference
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.spelling import BY_ID, SPECIAL, without_blanks
from vlm_acceptance.core.text import trimmed

# a token, and those generated before it -> what is added to its score
Offset = Callable[[str, Sequence[str]], float]
LETTERS = 3
WORD = re.compile(r"(?<=\s)[A-Za-z]{3,}(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Change:
    """Where the reference must be left: the place of the first token that is no longer the likeliest one."""

    at: int
    behind: float


def presence(penalty: float) -> Offset:
    """What `presence_penalty` adds: once for a token that was generated before."""
    return lambda token, before: -penalty if token in before else 0.0


def frequency(penalty: float) -> Offset:
    """What `frequency_penalty` adds: for each time a token was generated before."""
    return lambda token, before: -penalty * before.count(token)


def bias(wanted: str, value: float) -> Offset:
    """What `logit_bias` adds to one token."""
    return lambda token, _: value if token == wanted else 0.0


def change_of(reference: Answered, offset: Offset, margin: float) -> Change | None:
    """The first place where another listed token is likelier by more than `margin` nats; None without one."""
    for place, listed in enumerate(reference.listed):
        before = reference.names[:place]
        own = reference.chosen[place] + offset(reference.names[place], before)
        behind = max(value + offset(token, before) for token, value in listed.items()) - own
        if behind > margin:
            return Change(place, behind)
    return None


def leaves(name: str, exchange: Exchange, reference: Answered, offset: Offset, tie: float) -> list[Finding]:
    """The answer leaves the reference where the parameter changes the likeliest token, and with such a token.

    Tokens that are nearer than `tie` nats may be taken in place of each other.
    """
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    tie = max(tie, ROUNDING)
    change = change_of(reference, offset, tie)
    at = first_difference(reference.names, answer.names)
    shared = min(len(reference.names), len(answer.names))
    if at is None or at >= shared or (change is not None and at > change.at):
        if change is None or change.at >= shared:
            return []
        token, text = reference.names[change.at], reference.texts[change.at]
        observed = f"{name} is not obeyed: token {change.at} is still {_shown(token, text)}"
        expected = f"another token there, which {name} makes likelier by {change.behind:.1f} nats"
        return [Finding(kinds.PARAMETER_TOKENS, expected, observed)]
    before, listed = reference.names[:at], reference.listed[at]
    best = max(value + offset(token, before) for token, value in listed.items())
    # a token that is not listed is at most as likely as the last one listed
    own = listed.get(answer.names[at], min(listed.values())) + offset(answer.names[at], before)
    if best - own <= tie:
        return []
    observed = f"token {at} is {_shown(answer.names[at], answer.texts[at])}, {best - own:.1f} nats less likely"
    return [Finding(kinds.PARAMETER_TOKENS, f"the likeliest token after {name}", observed)]


def repeats_less(name: str, exchange: Exchange, reference: Answered) -> list[Finding]:
    """With a repetition penalty that leaves nothing of a token's score, less than half as many tokens are repeated."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    tokens = min(len(answer.names), len(reference.names))
    mine, theirs = (len(names[:tokens]) - len(set(names[:tokens])) for names in (answer.names, reference.names))
    if mine * 2 < theirs or theirs == 0:
        return []
    observed = f"{name} is not obeyed: {mine} of {tokens} tokens are repeated, without it {theirs}"
    return [Finding(kinds.PARAMETER_TOKENS, "less than half as many repeated tokens", observed)]


def only(name: str, exchange: Exchange, allowed: Sequence[int]) -> list[Finding]:
    """Every token of the answer is one of the allowed ones."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    if not answer.ids:
        return [unanswered(NoReply("no token ids in the log probabilities", exchange))]
    others = [ident for ident in answer.ids if ident not in allowed]
    if not others:
        return []
    expected = f"only tokens {', '.join(map(str, allowed))}, by {name}"
    observed = f"{name} is not obeyed: {len(others)} of {len(answer.ids)} tokens are others, the first is {others[0]}"
    return [Finding(kinds.PARAMETER_TOKENS, expected, observed)]


def never(name: str, exchange: Exchange, tokens: Sequence[str], text: str) -> list[Finding]:
    """The forbidden tokens are nowhere in the answer, one after the other."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    places = range(len(answer.names) - len(tokens) + 1)
    at = next((place for place in places if answer.names[place : place + len(tokens)] == tuple(tokens)), None)
    if at is None:
        return []
    observed = f"{name} is not obeyed: {text!r} is generated at token {at}, {trimmed(answer.text, 120)}"
    return [Finding(kinds.PARAMETER_TOKENS, f"a text without {text!r}", observed)]


def ends_at(name: str, exchange: Exchange, token: str, reference: Answered, tie: float) -> list[Finding]:
    """The answer ends at the first token of this name, with finish_reason `stop`.

    It may leave the reference before that at tokens that are nearer than `tie` nats.
    """
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    if token in answer.names:
        place = answer.names.index(token)
        late = len(answer.names) - place - 1
        if not late and answer.reason == "stop":
            return []
        observed = f"{name} is not obeyed: {late} tokens after it, finish_reason {trimmed(answer.reason, 40)}"
        return [
            Finding(
                kinds.PARAMETER_STOP,
                f"the end at token {place}, {_shown(token, answer.texts[place])}, by {name}",
                observed,
            )
        ]
    at = first_difference(reference.names[: reference.names.index(token)], answer.names)
    if at is not None and at < min(len(answer.names), reference.names.index(token)):
        listed = reference.listed[at]
        if max(listed.values()) - listed.get(answer.names[at], float("-inf")) <= max(tie, ROUNDING):
            return []
    if answer.reason == "stop" and at is None:
        return []  # the token that ended it may be left out of the list
    observed = f"{len(answer.names)} tokens without it, finish_reason {trimmed(answer.reason, 40)}"
    return [Finding(kinds.PARAMETER_STOP, f"the end at {_shown(token, '')}, by {name}", observed)]


def words_of(answer: Answered) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Words of the text that occur after a blank only, each once, with the names of the tokens that spell it first."""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    letters = 0
    for place, text in enumerate(answer.texts):
        length = 0 if SPECIAL.fullmatch(text.strip()) else len(without_blanks(text))
        if length:
            begins[letters], letters = place, letters + length
            ends[letters] = place + 1
    found = list(WORD.finditer(answer.text))
    counts = Counter(word[0] for word in found)
    for word in found:
        begin = len(without_blanks(answer.text[: word.start()]))
        first, last = begins.get(begin), ends.get(begin + len(word[0]))
        is_whole = answer.text.count(word[0]) == counts.pop(word[0], 0)
        if is_whole and first is not None and last is not None:
            yield word[0], answer.names[first:last]


def is_encoded_so(tokens: Sequence[str], encoded: Exchange) -> bool:
    """Whether `/tokenize` gives these tokens for the word, too; an answer that cannot be read does not object."""
    try:
        ids = [f"{BY_ID}{ident}" for ident in encoded.json()["tokens"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return True
    return not tokens[0].startswith(BY_ID) or ids[-len(tokens) :] == list(tokens)


def token_to_end_at(answer: Answered) -> int:
    """The place of a token that occurs late enough to show that an answer ends there, for the first time."""
    firsts = [place for place, name in enumerate(answer.names) if name not in answer.names[:place]]
    return next((place for place in firsts if place >= LETTERS), firsts[-1])


def _shown(token: str, text: str) -> str:
    return f"{trimmed(token, 40)} ({trimmed(text, 40)})" if text and text != token else trimmed(token, 40)
