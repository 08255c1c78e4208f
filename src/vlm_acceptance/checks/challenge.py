"""Answers to what no earlier run can have asked: new pictures, new texts, and requests that are sent again.

A recorded run that is replayed, a cache by body or by text, and a table of known answers give themselves away here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vlm_acceptance.checks.answer import common_cause, fold, judge_picture
from vlm_acceptance.checks.pictures import prompt_tokens_of
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Question
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.core.text import trimmed

# a blind deployment that says one plausible answer to all has more right once in a thousand runs or less
BLIND = 1
# texts of two lines A and B, each line as often as its letter stands in the name
LAYOUTS = ("AA", "AB", "BA", "BB", "AAA", "AAAA")
_NUMBER = re.compile(r"(?<!\d)\d{4}(?!\d)")


@dataclass(frozen=True, slots=True)
class NewPictures:
    """The judgement of the new pictures: findings, right answers, and requests that a busy machine kept waiting."""

    findings: list[Finding]
    right: int
    late: int


def read_new_pictures(
    questions: Sequence[Question],
    replies: Sequence[Reply | NoReply],
    min_correct: int,
    special_tokens: Sequence[str] = (),
) -> NewPictures:
    """At least `min_correct` answers are right, and none is fatal. At most BLIND right ones are fatal, too.

    The first picture of each question is its own; the others are those whose answers it must not get.
    """
    judged = [judged_as_new(one, reply, special_tokens) for one, reply in zip(questions, replies, strict=True)]
    right = sum(not found for found in judged)
    placed = [
        finding.at(one.id).about(reply.exchange)
        for one, reply, found in zip(questions, replies, judged, strict=True)
        for finding in found
    ]
    late = [finding for finding in placed if finding.is_starved]
    fatal = any(finding.fatal for finding in placed if not finding.is_starved)
    if right + len(late) >= min_correct and not fatal:
        return NewPictures(late, right, len(late))
    is_blind = right + len(late) <= BLIND
    kind = kinds.NEW_UNREAD if is_blind else kinds.NEW_COUNT
    wrong = ", ".join(one.id for one, found in zip(questions, judged, strict=True) if found)
    expected = f"at least {min_correct} of {len(questions)} new pictures right and nothing fatal"
    observed = f"{right} of {len(questions)} right; wrong: {wrong}{common_cause(replies, judged)}"
    observed += _invented(questions, replies) if is_blind else ""
    summary = Finding(kind, expected, observed, graded=kinds.FATAL if fatal else None)
    return NewPictures([summary, *_by_text(questions, replies), *placed], right, len(late))


def judged_as_new(question: Question, reply: Reply | NoReply, special_tokens: Sequence[str]) -> list[Finding]:
    """What is wrong with an answer about the first picture of a question; the others must not lend it anything."""
    if isinstance(reply, NoReply):
        return [Finding(kinds.ANSWER_MISSING, "an answer", str(reply))]
    found = judge_picture(question, question.pictures[0], reply, special_tokens)
    return [replace(one, kind=kinds.NEW_MIXED_UP) if one.kind is kinds.ANSWER_FOREIGN else one for one in found]


def _invented(questions: Sequence[Question], replies: Sequence[Reply | NoReply]) -> str:
    """How many answers give a number that no picture of this run shows, in words; '' if none does."""
    shown = {word for one in questions for picture in one.pictures for word in picture.visible}
    texts = [fold(reply.text) for reply in replies if isinstance(reply, Reply)]
    count = sum(bool(set(_NUMBER.findall(text)) - shown) for text in texts)
    return f"; {count} with a number that no picture of this run shows: guessed, or stored" if count else ""


def _by_text(questions: Sequence[Question], replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Fatal if every prompt that was sent with several pictures got one answer for all of them."""
    answers: dict[str, list[str]] = {}
    for question, reply in zip(questions, replies, strict=True):
        if isinstance(reply, Reply):
            answers.setdefault(question.prompt, []).append(fold(reply.text))
    several = {prompt: texts for prompt, texts in answers.items() if len(texts) > 1}
    if not several or any(len(set(texts)) > 1 for texts in several.values()):
        return []
    prompt, texts = next(iter(several.items()))
    observed = f"{trimmed(texts[0])} for each of {len(texts)} pictures, and so for all {len(several)} prompts asked so"
    return [Finding(kinds.CACHED_BY_TEXT, f"different answers to {prompt!r} about different pictures", observed)]


def tokens_follow_texts(replies: Mapping[str, Reply | NoReply]) -> list[Finding]:
    """Prompt tokens of the texts LAYOUTS, by layout: a line costs the same wherever it stands between others.

    So AA and BB cost what AB and BA cost, each further A costs the same, and more or longer lines cost more.
    """
    counts: dict[str, int] = {}
    for layout, reply in replies.items():
        count = prompt_tokens_of(reply, kinds.STORED_ANSWERS, layout)
        if isinstance(count, Finding):
            return [count]
        counts[layout] = count
    line = counts["AAA"] - counts["AA"]
    rules = (
        ("AB and BA together as AA and BB", counts["AB"] + counts["BA"] == counts["AA"] + counts["BB"]),
        ("AAAA as many more than AAA as AAA more than AA", counts["AAAA"] - counts["AAA"] == line),
        ("AAA more than AA", line > 0),
        ("BB, whose lines are longer, more than AA", counts["BB"] > counts["AA"]),
    )
    seen = ", ".join(f"{layout} {count}" for layout, count in counts.items())
    broken = "; ".join(rule for rule, holds in rules if not holds)
    return [Finding(kinds.STORED_ANSWERS, broken, f"prompt tokens: {seen}", "new texts")] if broken else []


def answers_vary(replies: Sequence[Reply | NoReply], kind: kinds.FindingClass, what: str) -> list[Finding]:
    """Answers to requests that are sampled at temperature 1 are not all the same; each is there."""
    missing = [
        Finding(kinds.ANSWER_MISSING, "an answer", str(reply), what, reply.exchange)
        for reply in replies
        if isinstance(reply, NoReply)
    ]
    texts = {reply.text for reply in replies if isinstance(reply, Reply)}
    if missing or len(texts) > 1:
        return missing
    expected = "answers that differ: they are sampled at temperature 1, without a seed"
    observed = f"{len(replies)} times {trimmed(next(iter(texts)))}"
    return [Finding(kind, expected, observed, what, replies[0].exchange)]


def repeats_are_computed(new: float | None, again: float | None, sent: int) -> list[Finding]:
    """As many requests were counted by the engine when one body was sent `sent` times as for as many new bodies.

    `new` and `again` are the growth of its counter. Where it does not count all new ones, because other replicas serve
    them, too, nothing is judged.
    """
    if not is_figure(new) or not is_figure(again):
        seen = f"grown by {new}, then by {again}"
        return [Finding(kinds.METRICS_TEXT, "a counter of requests", seen, "/metrics")]
    if new < sent or again >= sent:
        return []
    expected = f"{sent} more requests counted by the engine, as with {sent} new bodies"
    return [Finding(kinds.CACHED_BY_BODY, expected, f"{again:g} more", "/metrics")]
