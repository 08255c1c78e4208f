"""Edge inputs and picture files of every format: answered or refused as expected, and answers end by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vlm_acceptance.checks.answer import holds
from vlm_acceptance.checks.completion import answered, choices_are
from vlm_acceptance.checks.degeneracy import degenerate
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most
from vlm_acceptance.core.text import trimmed

REFUSALS = range(400, 500)
FORMAT_REFUSALS = (400, 413, 415, 422)
Parts = Sequence[Sequence[str]]
# parameters that make an answer longer than, or different from, what the model alone would write
_CHANGE_THE_ANSWER = ("ignore_eos", "min_tokens", "logit_bias", "stop", "stop_token_ids", "response_format", "tools")
_GREEDY = 1e-5


def became(
    exchange: Exchange, *, expect: str, deadline_s: float, parts: Parts = (), choices: int = 1, schema: str = "error"
) -> list[Finding]:
    """The input was handled as expected within `deadline_s` seconds.

    `expect` is refused, answered or right (the answer holds every one of `parts`), or two of them joined by ` or `.
    """
    ways = expect.split(" or ")
    found = {}
    if "refused" in ways:
        found["refused"] = refused(exchange, statuses=REFUSALS, deadline_s=deadline_s, schema=schema)
    if "right" in ways:
        found["right"] = right(exchange, parts, deadline_s)
    elif "answered" in ways:
        judged = choices_are(exchange, choices) if choices > 1 else answered(exchange.reply)
        found["answered"] = _late(exchange, deadline_s) + judged
    if not all(found.values()):
        return []
    # of two expectations, report the one that the response comes nearer to
    named = "refused" if exchange.status is None or exchange.status >= 400 else ways[-1]
    return found.get(named) or next(iter(found.values()))


def right(exchange: Exchange, parts: Parts, deadline_s: float) -> list[Finding]:
    """The answer holds every part by one of its alternatives, and came in time."""
    reply, found = exchange.reply, _late(exchange, deadline_s)
    if isinstance(reply, NoReply):
        return [*found, Finding(kinds.EDGE_ANSWER, "an answer", str(reply))]
    missing = [part for part in parts if not holds(reply.text, part)]
    wanted = "; and ".join(" or ".join(map(repr, part)) for part in missing)
    return [*found, Finding(kinds.EDGE_WRONG, wanted, trimmed(reply.text))] if missing else found


def _late(exchange: Exchange, deadline_s: float) -> list[Finding]:
    if is_at_most(exchange.elapsed_s, deadline_s):
        return []
    return [Finding(kinds.EDGE_DEADLINE, f"a response within {deadline_s:g} s", f"{exchange.elapsed_s:.3g} s")]


def memory_is_bounded(growth_mb: int, limit_mb: int) -> list[Finding]:
    """One request made the memory of the engine's processes grow by at most `limit_mb`."""
    if is_at_most(growth_mb, limit_mb):
        return []
    return [Finding(kinds.EDGE_MEMORY, f"at most {limit_mb} MB more during the request", f"{growth_mb} MB more")]


def answered_or_refused(exchange: Exchange, deadline_s: float) -> list[Finding]:
    """A picture file gets 200 with a text, or a readable 4xx within `deadline_s` seconds; anything else is fatal."""
    if exchange.status != 200:
        found = refused(exchange, statuses=FORMAT_REFUSALS, deadline_s=deadline_s)
        return [replace(one, expected=f"an answer, or {one.expected}", graded=kinds.FATAL) for one in found]
    reply = exchange.reply
    return [Finding(kinds.FORMAT_ANSWER, "an answer", str(reply))] if isinstance(reply, NoReply) else answered(reply)


def not_refused(exchange: Exchange) -> list[Finding]:
    """A format that every decoder reads is not refused."""
    refusal = exchange.status is not None and 400 <= exchange.status < 500
    return [Finding(kinds.FORMAT_REFUSED, "an answer", in_words(exchange))] if refusal else []


def prompt_tokens_are(reply: Reply | NoReply, tokens: int) -> list[Finding]:
    """The prompt has exactly `tokens` tokens; a refused request is not judged."""
    if isinstance(reply, NoReply) or (reply.usage is not None and reply.usage.prompt == tokens):
        return []
    seen = "no usage" if reply.usage is None else str(reply.usage.prompt)
    return [Finding(kinds.FORMAT_TOKENS, f"{tokens} prompt tokens", seen)]


def in_words(exchange: Exchange) -> str:
    """How the server handled a picture, for the report."""
    if exchange.error is not None:
        return exchange.error.kind
    return "accepted" if exchange.status == 200 else f"refused with {exchange.status}"


def stops(reply: Reply | NoReply, most: int) -> list[Finding]:
    """A short answer ends by itself: finish_reason `stop`, after at most `most` tokens."""
    if isinstance(reply, NoReply):
        return [Finding(kinds.EDGE_ANSWER, "an answer", str(reply))]
    found = []
    if reply.finish_reason != "stop":
        seen = f"finish_reason {reply.finish_reason!r}, ending in {trimmed(reply.text[-80:])}"
        found.append(Finding(kinds.STOP_NEVER, "an answer that ends by itself, finish_reason 'stop'", seen))
    if reply.usage is None or not is_at_most(reply.usage.completion, most):
        seen = "no usage" if reply.usage is None else f"{reply.usage.completion} tokens"
        found.append(Finding(kinds.STOP_LONG, f"at most {most} tokens", seen))
    return found


def sane(exchange: Exchange, special_tokens: Sequence[str] = ()) -> list[Finding]:
    """No degenerate text in a greedy chat answer; what the question itself contains is not counted.

    Not judged: sampled answers, answers under parameters that change them, refusals, and a character that is cut
    in two where the answer reached its length.
    """
    body = exchange.request.body
    if exchange.request.path != CHAT or not isinstance(body, dict) or exchange.status != 200:
        return []
    temperature = body.get("temperature", 1.0)
    # a temperature that is not a number should have been refused: skip, the text of this answer is not judged
    is_greedy = isinstance(temperature, (int, float)) and temperature <= _GREEDY
    reply = exchange.reply  # the test that sent the request reports a missing answer
    if not is_greedy or any(body.get(name) for name in _CHANGE_THE_ANSWER) or isinstance(reply, NoReply):
        return []
    text = reply.text.rstrip("\ufffd") if reply.finish_reason == "length" else reply.text
    found = degenerate(text, special_tokens)
    in_question = {finding.kind for finding in degenerate(_texts(body), special_tokens)} if found else set()
    return [finding for finding in found if finding.kind not in in_question]


def _texts(body: dict[str, Any]) -> str:
    """All texts of a request, without its pictures."""
    contents = [message.get("content") for message in body["messages"] if isinstance(message, dict)]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
