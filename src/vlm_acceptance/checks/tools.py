"""Calls of tools: the right function, arguments that conform, nothing of the markup in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.checks.structured_output import Constraint
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tool_calls import Call, ToolAnswer, tool_answer

SHOWN, MOST_CALLS = 160, 4
# characters that are searched for marks: no answer that is asked for is as long
JUDGED = 20_000
# how models mark calls and thoughts; a parser takes these marks out of the text
MARKUP = re.compile(
    r"</?(?:think|tool_calls?|tool_response|function_calls?|minimax:tool_call)\b|\[/?TOOL_CALLS\]"
    r"|<\|[^|<>\s]{0,40}(?:tool|think)[^|<>\s]{0,40}\|>|<｜[^｜<>\s]{0,40}(?:tool|think)[^｜<>\s]{0,40}｜>"
    r"|<function=[\w.-]{1,64}>|<\|(?:action_start|action_end|plugin|python_tag)\|>"
)
CALLED = "tool_calls"
# how an answer without calls ends
ENDED = ("stop", "length")


def called(exchange: Exchange, tools: Mapping[str, Any], ends: tuple[str, ...]) -> list[Finding]:
    """There is one call, of one of `tools` (name -> JSON schema of its arguments), and the answer ends as in `ends`."""
    answer, names = tool_answer(exchange), " or ".join(tools)
    if isinstance(answer, NoReply):
        return [Finding(kinds.TOOLS_ANSWER, f"a call of {names}", f"no answer: {answer}")]
    if len(answer.calls) != 1:
        what = _names(answer) or f"no call; its text is {trimmed(answer.content, SHOWN)}"
        found = [Finding(kinds.TOOLS_CALL, f"one call of {names}", what)]
    else:
        found = _call(answer.calls[0], tools)
    if answer.finish_reason not in ends:
        wanted = " or ".join(map(repr, ends))
        found.append(Finding(kinds.TOOLS_FINISH, f"finish_reason {wanted}", repr(answer.finish_reason)))
    return [*_form(answer), *found]


def _names(answer: ToolAnswer) -> str:
    more = len(answer.calls[MOST_CALLS:])
    names = ", ".join(trimmed(call.name, 40) for call in answer.calls[:MOST_CALLS])
    return f"{names} and {more} more" if more else names


def unmarked(exchange: Exchange) -> list[Finding]:
    """There is an answer, and none of the model's marks of calls and of reasoning is left in its text."""
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply):
        return [Finding(kinds.TOOLS_ANSWER, "an answer", f"no answer: {answer}")]
    return _marks(answer.content)


def mark_in(text: str) -> re.Match[str] | None:
    """The first mark of a call or of reasoning in a text, of which only the beginning is searched."""
    return MARKUP.search(text[:JUDGED])


def _marks(text: str) -> list[Finding]:
    mark = mark_in(text)
    if mark is None:
        return []
    observed = f"{mark[0]!r} is left in the text: {trimmed(text, SHOWN)}"
    return [Finding(kinds.TOOLS_MARKUP, "a text without the marks of calls and of reasoning", observed)]


def _bare(text: str, names: tuple[str, ...]) -> list[Finding]:
    """The text is not itself a call of a tool, as models write them that mark calls in another way, or not at all."""
    text = text[:JUDGED].strip()
    is_spoken = any(re.fullmatch(rf"\[?\s*{re.escape(name)}\s*\(.*\)\s*\]?", text, re.DOTALL) for name in names)
    if not is_spoken and not _is_written(text, names):
        return []
    expected = "a call beside the text: a parser of calls that fits the model (--tool-call-parser)"
    return [Finding(kinds.TOOLS_MARKUP, expected, f"the call is left as the text: {trimmed(text, SHOWN)}")]


def _is_written(text: str, names: tuple[str, ...]) -> bool:
    try:
        value = read_json(text)
    except (ValueError, RecursionError):
        return False
    calls = value if isinstance(value, list) and value else [value]
    return all(
        isinstance(one, dict) and one.get("name") in names and bool({"parameters", "arguments"} & one.keys())
        for one in calls
    )


def _form(answer: ToolAnswer) -> list[Finding]:
    """The calls are well formed, and none of the model's marks is left in the text."""
    found = [Finding(kinds.TOOLS_FORM, "each call once, with id, name and index", flaw) for flaw in answer.flaws]
    return [*found, *_marks(answer.content)]


def _call(call: Call, tools: Mapping[str, Any]) -> list[Finding]:
    if call.name not in tools:
        return [Finding(kinds.TOOLS_NAME, f"a call of {' or '.join(tools)}", f"{trimmed(call.name, SHOWN)} is called")]
    wrong = Constraint(call.name, {}, "", tools[call.name]).broken_by(call.arguments)
    if wrong is None:
        return []
    kind = kinds.TOOLS_SCHEMA if wrong[0] is kinds.STRUCTURED_SCHEMA else kinds.TOOLS_ARGUMENTS
    observed = f"{call.name} is called with {trimmed(call.arguments, SHOWN)}, {wrong[1]}"
    return [Finding(kind, f"arguments that conform to the parameters of {call.name}", observed)]


def lost_its_brace(exchange: Exchange, tools: Mapping[str, Any]) -> bool:
    """Whether a streamed call would be right with one more brace before its arguments: some versions lose it."""
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply) or len(answer.calls) != 1 or not exchange.request.stream:
        return False
    (call,) = answer.calls
    return bool(_call(call, tools)) and not _call(replace(call, arguments="{" + call.arguments), tools)


def was_cut(exchange: Exchange, max_tokens: int) -> bool:
    """Whether `max_tokens` ended the answer: a call that was cut cannot be judged."""
    answer = tool_answer(exchange)
    return isinstance(answer, ToolAnswer) and _is_cut(answer, max_tokens)


def _is_cut(answer: ToolAnswer, max_tokens: int) -> bool:
    # vLLM ends a stream with a call by `tool_calls`, even one that `max_tokens` ended
    reached = answer.usage is not None and answer.usage.completion == max_tokens
    return reached and answer.finish_reason in ("length", CALLED)


def was_cut_in_a_call(exchange: Exchange, max_tokens: int) -> bool:
    """Whether `max_tokens` ended the answer within a call, whose marks may then be left in the text."""
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply) or not was_cut(exchange, max_tokens):
        return False
    return bool(answer.calls) or mark_in(answer.content) is not None


def was_written(exchange: Exchange, name: str) -> bool:
    """Whether the model wrote a call of this tool, read by a parser or not; with no answer, or an empty one, it may."""
    answer = tool_answer(exchange)
    return isinstance(answer, NoReply) or bool(answer.calls) or not answer.content.strip() or name in answer.content


def calls_in(exchange: Exchange) -> int:
    """How many calls an answer has."""
    answer = tool_answer(exchange)
    return 0 if isinstance(answer, NoReply) else len(answer.calls)


def _said(answer: ToolAnswer, max_tokens: int) -> list[Finding]:
    """An answer without calls says something, unless it was cut, and ends as such answers do."""
    found = []
    if not (answer.content.strip() or answer.reasoning.strip() or _is_cut(answer, max_tokens)):
        found.append(Finding(kinds.TOOLS_ANSWER, "a text, or a call", "an answer without a text and without a call"))
    if answer.finish_reason not in ENDED:
        expected = "finish_reason 'stop' or 'length' without calls"
        found.append(Finding(kinds.TOOLS_FINISH, expected, f"no calls, and finish_reason {answer.finish_reason!r}"))
    return found


def not_called(exchange: Exchange, max_tokens: int) -> list[Finding]:
    """There is an answer, it says something unless `max_tokens` ended it, and no tool is called."""
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply):
        return [Finding(kinds.TOOLS_ANSWER, "an answer", f"no answer: {answer}")]
    if not answer.calls and answer.finish_reason != CALLED:
        return _said(answer, max_tokens)
    observed = f"calls of {_names(answer) or 'nothing'}, finish_reason {answer.finish_reason!r}"
    return [Finding(kinds.TOOLS_CALL, "no call, because tool_choice is none", observed)]


def counted(exchange: Exchange) -> Reply | NoReply:
    """The answer as one whose prompt tokens are compared: beside a call, or at its beginning, it may have no text."""
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply):
        return answer
    return Reply(answer.content, answer.finish_reason, answer.usage, "", exchange.elapsed_s, exchange=exchange)


def free(
    exchange: Exchange, names: tuple[str, ...], max_tokens: int, ends: tuple[str, ...] = (CALLED,)
) -> list[Finding]:
    """An answer whose model was free to call tools: it is well formed, and calls, if any, are of `names`.

    With calls it ends as in `ends`; without them it says something unless `max_tokens` ended it.
    """
    answer = tool_answer(exchange)
    if isinstance(answer, NoReply):
        return [Finding(kinds.TOOLS_ANSWER, "an answer, or a call of a tool", f"no answer: {answer}")]
    # whether the arguments conform is the model's own skill here
    any_arguments = {name: {"type": "object"} for name in names}
    found = [*_form(answer), *_bare(answer.content, names)]
    found += [one for call in answer.calls[:MOST_CALLS] for one in _call(call, any_arguments)]
    if not answer.calls:
        return [*found, *_said(answer, max_tokens)]
    if answer.finish_reason not in ends:
        expected = f"finish_reason {' or '.join(map(repr, ends))} with calls"
        observed = f"{len(answer.calls)} calls, and finish_reason {answer.finish_reason!r}"
        found.append(Finding(kinds.TOOLS_FINISH, expected, observed))
    return found


def survived(exchange: Exchange, names: tuple[str, ...], max_tokens: int, deadline_s: float) -> list[Finding]:
    """A request with tools that are not offered is answered soundly, or refused with a readable 4xx."""
    if exchange.status == 200 and exchange.error is None:
        answer = tool_answer(exchange)
        if isinstance(answer, ToolAnswer) and answer.calls and was_cut(exchange, max_tokens):
            return _form(answer)
        # the answer of a named tool may end with `stop`
        return free(exchange, names, max_tokens, (CALLED, "stop"))
    return refused(exchange, statuses={400, 404, 422}, deadline_s=deadline_s)
