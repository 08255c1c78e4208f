"""Golden answers: exact stored texts, as of the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

SHOWN = 8


def answers_match(golden: Sequence[Mapping[str, Any]], replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Every text and prompt token count equals the stored one; otherwise a count, then the first few findings."""
    wrong = [found for row, reply in zip(golden, replies, strict=True) for found in _compare(row, reply)]
    starved = [found for found in wrong if found.is_starved]
    if len(starved) == len(wrong):
        return starved[:SHOWN]
    equal = len(golden) - len({found.where for found in wrong})
    texts = sum(found.kind is kinds.GOLDEN_TEXT for found in wrong)
    seen = f"{equal} of {len(golden)} equal; {texts} texts differ"
    seen += ": the picture or the prompt is not rightly seen" if texts else ""
    return [Finding(kinds.GOLDEN_COUNT, f"all {len(golden)} golden answers", seen), *wrong[:SHOWN]]


def _compare(row: Mapping[str, Any], reply: Reply | NoReply) -> list[Finding]:
    if isinstance(reply, NoReply):
        return [Finding(kinds.GOLDEN_MISSING, "an answer", str(reply), row["id"], reply.exchange)]
    found = []
    if reply.text != row["answer"]:
        found.append(Finding(kinds.GOLDEN_TEXT, trimmed(row["answer"]), trimmed(reply.text), row["id"], reply.exchange))
    tokens = row.get("prompt_tokens")
    if tokens is not None and (reply.usage is None or reply.usage.prompt != tokens):
        seen = "no usage" if reply.usage is None else str(reply.usage.prompt)
        found.append(Finding(kinds.GOLDEN_TOKENS, f"{tokens} prompt tokens", seen, row["id"], reply.exchange))
    return found
