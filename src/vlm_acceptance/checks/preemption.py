"""Requests that an engine preempts, because its cache is full, and resumes: each keeps its own whole answer."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_acceptance.checks.load import SHOWN, Asked, counted, errors_within, fault_of, fewest
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least


def answers_kept(
    asked: Sequence[Asked], replies: Sequence[Reply | NoReply], min_correct: int, special_tokens: Sequence[str] = ()
) -> list[Finding]:
    """Each question that was asked, some of them several times, has its own answer, and enough answers are right."""
    everyone = list({one.id: one for one in asked}.values())
    faults = [fault_of(one, reply, everyone, special_tokens) for one, reply in zip(asked, replies, strict=True)]
    total = sum(not one.report_only for one in asked)
    least = fewest(total, min_correct, sum(not one.report_only for one in everyone))
    return counted([fault for fault in faults if fault is not None], total, least)


def texts_whole(replies: Sequence[Reply | NoReply], tokens: int) -> list[Finding]:
    """Each long text has the number of tokens that was asked for, without regard to the end of its answer."""
    found: list[Finding] = []
    starved: list[Finding] = []
    for reply in replies:
        if isinstance(reply, NoReply):
            late = Finding(kinds.LOAD_NO_ANSWER, f"a text of {tokens} tokens", str(reply), "long text", reply.exchange)
            (starved if late.is_starved else found).append(late)
        elif reply.usage is not None and reply.usage.completion != tokens:
            seen = f"{reply.usage.completion} tokens, finish_reason {reply.finish_reason!r}"
            expected = f"a text of {tokens} tokens (ignore_eos), finish_reason 'length'"
            found.append(Finding(kinds.PREEMPTION_CUT, expected, seen, "long text", reply.exchange))
    summary = errors_within(len(found), len(replies), 0)
    return [*summary, *found[:SHOWN]] if found else starved[:SHOWN]


def too_few(preempted: float | None, least: int, texts: int, seconds: float) -> str:
    """Why the test has shown nothing: fewer than `least` requests were preempted; '' if there were enough."""
    if preempted is None:
        return "not known whether anything was preempted: /metrics has no vllm:num_preemptions"
    if is_at_least(preempted, least):
        return ""
    sent = f"while {texts} long texts were sent in {seconds:.0f} s"
    what = "nothing was preempted" if preempted == 0 else f"only {preempted:g} requests were preempted"
    return (
        f"{what} {sent} (vllm:num_preemptions), at least {least} are needed: the cache of this deployment is not small"
    )
