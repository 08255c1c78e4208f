"""Several pictures in one request: all of them seen, in the order they were sent, up to the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlm_acceptance.checks.answer import fold
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

Words = tuple[str, ...]


def in_order(wanted: Sequence[Words], replies: Sequence[Reply | NoReply], least: int) -> list[Finding]:
    """At least `least` answers name their pictures in the order sent; every wrong one when fewer do.

    Fatal is only an answer that did not come: a small model may not keep an order, which is for calibration to say.
    """
    wrong = []
    for words, reply in zip(wanted, replies, strict=True):
        where = "-".join(words)
        if isinstance(reply, NoReply):
            wrong.append(Finding(kinds.MULTI_MISSING, "an answer", str(reply), where, reply.exchange))
        elif not names_in_order(words, reply.text):
            wrong.append(
                Finding(kinds.MULTI_ORDER, ", then ".join(words), _told(words, reply.text), where, reply.exchange)
            )
    missing = any(found.kind is kinds.MULTI_MISSING for found in wrong)
    return wrong if missing or len(wanted) - len(wrong) < least else []


def count_in_order(wanted: Sequence[Words], replies: Sequence[Reply | NoReply]) -> int:
    """How many answers name their pictures in the order sent."""
    pairs = zip(wanted, replies, strict=True)
    return sum(isinstance(reply, Reply) and names_in_order(words, reply.text) for words, reply in pairs)


def names_in_order(words: Words, text: str) -> bool:
    """Whether each word is said, the first time after the one before."""
    folded = fold(text).split()
    places = [folded.index(word) if word in folded else -1 for word in map(str.casefold, words)]
    return -1 not in places and places == sorted(places)


def tokens_grow_evenly(counts: Mapping[int, Reply | NoReply], least: int) -> list[Finding]:
    """Prompt tokens by number of equal pictures lie on one line that rises by at least `least` a picture.

    One number alone shows no line.
    """
    tokens: dict[int, int] = {}
    for number, reply in counts.items():
        if isinstance(reply, NoReply) or reply.usage is None:
            seen = str(reply) if isinstance(reply, NoReply) else "no usage"
            return [Finding(kinds.MULTI_TOKENS, "an answer with usage", seen, f"{number} pictures", reply.exchange)]
        tokens[number] = reply.usage.prompt
    if len(tokens) < 2:
        return []
    (one, base), (two, second), *more = sorted(tokens.items())
    step = (second - base) / (two - one)
    seen = ", ".join(f"{number}: {count}" for number, count in sorted(tokens.items()))
    if step < least:
        expected = f"at least {least} more prompt tokens with every picture"
        return [Finding(kinds.MULTI_TOKENS, expected, seen, f"{two} pictures", counts[two].exchange)]
    return [
        Finding(kinds.MULTI_TOKENS, f"{line:g} prompt tokens", seen, f"{number} pictures", counts[number].exchange)
        for number, count in more
        if count != (line := base + step * (number - one))
    ]


def _told(words: Words, text: str) -> str:
    said = fold(text).split()
    lost = [word for word in words if word.casefold() not in said]
    why = f"not said: {', '.join(lost)}" if lost else "another order"
    return f"{why}: {trimmed(text)}"
