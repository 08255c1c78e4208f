"""Answers that need a whole conversation: a picture of an earlier turn, a system message, a word in a long text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.challenge import judged_as_new
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Question
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import FindingClass
from vlm_acceptance.core.text import trimmed


@dataclass(frozen=True, slots=True)
class Judged:
    """Findings, which answers are right in the order of the questions, and how many a busy machine kept waiting."""

    findings: list[Finding]
    right: list[bool]
    late: int

    @property
    def count(self) -> int:
        """How many answers are right."""
        return sum(self.right)


def judged(
    asked: Sequence[Question],
    replies: Sequence[Reply | NoReply],
    least: int,
    kind: FindingClass,
    special_tokens: Sequence[str] = (),
) -> Judged:
    """At least `least` answers are right, else a finding of this `kind`; fatal ones count whatever the bar."""
    found = [judged_as_new(one, reply, special_tokens) for one, reply in zip(asked, replies, strict=True)]
    right = [not some for some in found]
    placed = [
        finding.at(one.id).about(reply.exchange)
        for one, reply, some in zip(asked, replies, found, strict=True)
        for finding in some
    ]
    late = [finding for finding in placed if finding.is_starved]
    fatal = [finding for finding in placed if finding.fatal and not finding.is_starved]
    if sum(right) + len(late) >= least and not fatal:
        return Judged(late, right, len(late))
    wrong = "; ".join(one.id for one, is_right in zip(asked, right, strict=True) if not is_right)
    observed = f"{sum(right)} of {len(asked)} right; wrong: {wrong}"
    expected = f"at least {least} of {len(asked)} right and nothing fatal"
    summary = Finding(kind, expected, observed, graded=kinds.FATAL if fatal else None)
    return Judged([summary, *placed], right, len(late))


def lost_groups(
    kind: FindingClass, groups: Sequence[str], right: Sequence[bool], replies: Sequence[Reply | NoReply], why: str
) -> list[Finding]:
    """Of two questions of a group one is answered right, or not answered at all; `groups` names that of each question.

    A group that is lost as a whole has one cause, `why`, even where enough answers are right.
    """
    found = []
    for group in dict.fromkeys(groups):
        here = [n for n, name in enumerate(groups) if name == group]
        if len(here) == 1 or any(right[n] or isinstance(replies[n], NoReply) for n in here):
            continue
        seen = "; ".join(trimmed(reply.text, 40) for n in here if isinstance(reply := replies[n], Reply))
        observed = f"none of {len(here)}: {why}: {seen}"
        found.append(Finding(kind, "one right answer at least", observed, group, replies[here[0]].exchange))
    return found
