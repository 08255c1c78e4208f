"""What others get after clients have left, and what the first client gets after an idle spell."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_acceptance.checks.agreement import agreement
from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.spelling import spelled_of
from vlm_acceptance.core.text import trimmed

# of some pictures that were read rightly before, chance may turn one answer
BY_CHANCE = 1
OTHERS, OWN = "a picture of nobody who left", "the picture of a client that left"


def unanswered_before(replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Requests about pictures that got no answer before any client left; one finding names the first."""
    lost = [reply for reply in replies if isinstance(reply, NoReply)]
    if not lost:
        return []
    seen = f"{len(lost)} of {len(replies)} got none, the first: {lost[0]}"
    where = "before clients left"
    return [Finding(kinds.LEAVING_UNANSWERED, "answers about pictures", seen, where, lost[0].exchange)]


def answers_afterwards(
    question: Question,
    asked: Sequence[tuple[Picture, Exchange]],
    special_tokens: Sequence[str],
    where: str,
) -> list[Finding]:
    """Pictures that were read rightly before are read so after clients with pictures left.

    A missing answer is fatal, and so is what only another picture shows. One wrong answer may be chance.
    """
    fatal, wrong = [], []
    for picture, exchange in asked:
        reply, words = exchange.reply, " and ".join(repr(part[0]) for part in picture.parts)
        if isinstance(reply, NoReply):
            kind = kinds.LEAVING_POISON if where == OWN else kinds.LEAVING_ANSWER
            fatal.append(Finding(kind, f"an answer about {where}", str(reply), where, exchange))
            continue
        found = judge_picture(question, picture, reply, special_tokens)
        if any(one.kind is kinds.ANSWER_FOREIGN for one in found):
            expected = f"{words}, not the answer to another request"
            fatal.append(Finding(kinds.LEAVING_MIXED_UP, expected, trimmed(reply.text), where, exchange))
        elif found:
            expected = f"{words}, as before clients left"
            wrong.append(Finding(kinds.LEAVING_WRONG, expected, trimmed(reply.text), where, exchange))
    return [*fatal, *(wrong if len(wrong) > BY_CHANCE else [])]


def as_before(first: Exchange, later: Exchange, tie: float | None, idle_s: float) -> list[Finding]:
    """The first answer after an idle spell is that of the same greedy request before it, up to a near-tie."""
    where = f"the first request after {idle_s:g} s without requests"
    before, after = spelled_of(first), spelled_of(later)
    if isinstance(after, NoReply):
        return [Finding(kinds.IDLE_ANSWER, "an answer, as before", str(after), where, later)]
    if isinstance(before, NoReply):
        return [Finding(kinds.IDLE_ANSWER, "an answer", str(before), "before the idle spell", first)]
    same = agreement(before, after, tie)
    if same.is_accepted:
        return []
    return [Finding(kinds.IDLE_WRONG, trimmed(before.text), f"{trimmed(after.text)}; {same}", where, later)]
