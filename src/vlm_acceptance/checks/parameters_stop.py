"""Stop strings: which ones a reference answer has, and an answer that keeps the one that ended it."""

from __future__ import annotations

from dataclasses import replace

from vlm_acceptance.checks.agreement import agreement
from vlm_acceptance.checks.completion import stop_word, stopped_before
from vlm_acceptance.checks.parameters import unanswered
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.spelling import spelled_of
from vlm_acceptance.core.text import trimmed

SHORTEST = 4


def inside_a_token(whole: Exchange) -> str:
    """The inner letters of a token of an answer, where the text has them first; its stop word if there are none."""
    answer = spelled_of(whole)
    tokens = () if isinstance(answer, NoReply) else answer.tokens[1:]
    text = "" if isinstance(answer, NoReply) else answer.text
    for token in tokens:
        letters = token.strip()
        inner = letters[1:-1]
        if len(letters) >= SHORTEST and letters.isascii() and letters.isalpha() and text.count(inner) == 1:
            return inner
    return stop_word(whole.reply)


def ended(name: str, exchange: Exchange, whole: Exchange, word: str, tie: float | None) -> list[Finding]:
    """The text is that of the whole answer up to the stop string, with finish_reason `stop`; see `stopped_before`."""
    found = stopped_before(exchange, whole, word, tie)
    return [replace(one, kind=kinds.PARAMETER_STOP, observed=f"{name} is not obeyed: {one.observed}") for one in found]


def kept(name: str, exchange: Exchange, whole: Exchange, word: str, tie: float | None) -> list[Finding]:
    """The text ends with the stop string, and is that of the whole answer up to there, with finish_reason `stop`.

    With `tie`, the answer may leave the whole one at a near-tie.
    """
    reply, full = exchange.reply, spelled_of(whole)
    if isinstance(reply, NoReply) or isinstance(full, NoReply):
        return [unanswered(one) for one in (reply, full) if isinstance(one, NoReply)][:1]
    wanted = full.text.partition(word)[0] + word
    if reply.text == wanted and reply.finish_reason == "stop":
        return []
    if word not in wanted or _left_before(exchange, whole, word, tie):
        return []
    observed = f"{name} is not obeyed: {trimmed(reply.text, 120)}, finish_reason {trimmed(reply.finish_reason, 40)}"
    return [Finding(kinds.PARAMETER_STOP, f"{trimmed(wanted, 120)}, with the stop string", observed)]


def _left_before(exchange: Exchange, whole: Exchange, word: str, tie: float | None) -> bool:
    """Whether the answer left the whole one at a near-tie, and then ended with the stop string or without it."""
    answer, full = spelled_of(exchange), spelled_of(whole)
    if isinstance(answer, NoReply) or isinstance(full, NoReply) or full.text.startswith(answer.text):
        return False
    is_whole = word not in answer.text or answer.text.index(word) == len(answer.text) - len(word)
    return is_whole and agreement(full, answer, tie).is_accepted
