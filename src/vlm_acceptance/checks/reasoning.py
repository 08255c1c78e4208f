"""Reasoning: what the model thinks is apart from what it answers."""

from __future__ import annotations

from vlm_acceptance.checks.tools import mark_in
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tool_calls import ToolAnswer, tool_answer

SHOWN = 160
# characters: a shorter thought may occur in the answer by chance
THOUGHT = 24


def apart(exchange: Exchange, max_tokens: int) -> list[Finding]:
    """The reasoning is in a field of its own, before the text; the text has nothing of it.

    An answer that `max_tokens` ended may have no text yet.
    """
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply):
        return [Finding(kinds.REASONING_ANSWER, "an answer with its reasoning", f"no answer: {answer}")]
    found = _content(answer)
    if not answer.reasoning.strip():
        observed = f"no reasoning beside the text {trimmed(answer.content, SHOWN)}"
        found.append(Finding(kinds.REASONING_MISSING, "the reasoning in the field reasoning", observed))
    if answer.late:
        observed = f"after the text began: {trimmed(answer.late, SHOWN)}"
        found.append(Finding(kinds.REASONING_ORDER, "the whole reasoning before the text", observed))
    if not answer.content.strip() and not _is_cut(answer, max_tokens):
        observed = f"no text after the reasoning {trimmed(answer.reasoning, SHOWN)}"
        found.append(Finding(kinds.REASONING_ANSWER, "an answer after the reasoning", observed))
    return found


def _content(answer: ToolAnswer) -> list[Finding]:
    expected, text = "a text without the reasoning and its marks", answer.content
    mark, thought = mark_in(text), answer.reasoning.strip()
    if mark is not None:
        observed = f"{mark[0]!r} is left in the text: {trimmed(text, SHOWN)}"
        return [Finding(kinds.REASONING_CONTENT, expected, observed)]
    if len(thought) >= THOUGHT and thought in text:
        return [
            Finding(kinds.REASONING_CONTENT, expected, f"the reasoning is in the text, too: {trimmed(text, SHOWN)}")
        ]
    return []


def _is_cut(answer: ToolAnswer, max_tokens: int) -> bool:
    reached = answer.usage is not None and answer.usage.completion == max_tokens
    return answer.finish_reason == "length" and reached
