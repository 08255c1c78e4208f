"""A chat completion: its text and body, its token counts, and what its request parameters must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vlm_acceptance.checks.agreement import Agreement, agreement, spelling
from vlm_acceptance.checks.schema import MOST_FINDINGS, conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, Usage, usage_of
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import ZERO
from vlm_acceptance.core.numbers import is_at_least, is_at_most, largest
from vlm_acceptance.core.spelling import Spelled, spelled_of
from vlm_acceptance.core.text import trimmed

# with one alternative, vLLM lists the chosen token alone
ALTERNATIVES = 5


def answered(reply: Reply | NoReply) -> list[Finding]:
    """There is an answer, and it has text."""
    if isinstance(reply, NoReply):
        return [Finding(kinds.NO_ANSWER, "an answer", str(reply))]
    return [] if reply.text.strip() else [Finding(kinds.NO_ANSWER, "an answer with text", trimmed(reply.text))]


def body_conforms(name: str, exchange: Exchange) -> list[Finding]:
    """Status 200 with a JSON body that conforms to the schema `name` of `fixtures/schemas/`."""
    kind, content_type = kinds.schema_class(name), exchange.headers.get("content-type")
    if exchange.error is not None or exchange.status != 200:
        return [Finding(kind, "HTTP 200", _outcome(exchange))]
    if "application/json" not in (content_type or ""):
        return [Finding(kind, "content-type application/json", repr(content_type))]
    try:
        return conforms(name, exchange.json())
    except ValueError as broken:
        return [Finding(kind, "a JSON body", f"{broken}: {trimmed(exchange.body)}")]


def names_model(exchange: Exchange, model: str) -> list[Finding]:
    """The body names the model that the request asked for."""
    try:
        named = exchange.json().get("model")
    except (ValueError, AttributeError):
        return []  # body_conforms reports it
    return [] if named == model else [Finding(kinds.SCHEMA_MODEL, repr(model), repr(named), "$.model")]


def usage_of_exchange(exchange: Exchange, max_tokens: int) -> list[Finding]:
    """There is an answer, and its usage is sound."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return [Finding(kinds.USAGE_ANSWER, "an answer", str(reply))]
    return usage_is_sound(reply, max_tokens=max_tokens)


def usage_is_sound(reply: Reply, *, max_tokens: int | None = None, max_model_len: int | None = None) -> list[Finding]:
    """The counts add up, a text has tokens, and `length` means that a limit was reached; None: no such limit."""
    usage = reply.usage
    if usage is None:
        return [Finding(kinds.USAGE_MISSING, "a usage block", "none")]
    found = []
    if usage.prompt + usage.completion != usage.total:
        expected = f"total_tokens {usage.prompt} + {usage.completion} = {usage.prompt + usage.completion}"
        found.append(Finding(kinds.USAGE_SUM, expected, f"total_tokens {usage.total}"))
    if not is_at_least(usage.prompt, 1):
        found.append(Finding(kinds.USAGE_PROMPT, "at least one prompt token", f"prompt_tokens {usage.prompt}"))
    if reply.text and not is_at_least(usage.completion, 1):
        observed = f"completion_tokens {usage.completion} for {len(reply.text)} characters"
        found.append(Finding(kinds.USAGE_COMPLETION, "at least one token for a text", observed))
    if max_tokens is not None and not is_at_most(usage.completion, max_tokens):
        expected = f"no more than max_tokens {max_tokens}"
        found.append(Finding(kinds.USAGE_LIMIT, expected, f"completion_tokens {usage.completion}"))
    elif max_tokens is not None and reply.finish_reason == "length":
        found += _limit_was_reached(usage, max_tokens, max_model_len)
    return found


def _limit_was_reached(usage: Usage, max_tokens: int, max_model_len: int | None) -> list[Finding]:
    # A full context window ends an answer with the same reason.
    if usage.completion == max_tokens or (max_model_len is not None and usage.total == max_model_len):
        return []
    expected = f"finish_reason 'length' at completion_tokens {max_tokens}"
    expected += f" or total_tokens {max_model_len}" if max_model_len is not None else ""
    return [Finding(kinds.USAGE_LIMIT, expected, f"completion_tokens {usage.completion}, total_tokens {usage.total}")]


def same_usage(streamed: Exchange, plain: Exchange) -> list[Finding]:
    """Both report the same usage, for two different texts the same prompt tokens.

    Other checks report an answer that is missing.
    """
    left, right = streamed.reply, plain.reply
    if isinstance(left, NoReply) or isinstance(right, NoReply) or left.usage == right.usage:
        return []
    if left.text != right.text and left.usage and right.usage and left.usage.prompt == right.usage.prompt:
        return []
    return [Finding(kinds.STREAM_USAGE, f"the plain request's usage, {right.usage}", str(left.usage))]


def own_tokens(exchange: Exchange, max_tokens: int, stop: str = "") -> list[Finding]:
    """An answer alone: its text is what its tokens spell, and its usage counts them; `stop` ended it, if anything."""
    answer, reply = spelled_of(exchange), exchange.reply
    if isinstance(answer, NoReply) or isinstance(reply, NoReply):
        return [Finding(kinds.PROTOCOL_ANSWER, "an answer", str(answer), exchange=exchange)]
    found = [*spelling(answer, stop), *usage_is_sound(reply, max_tokens=max_tokens)]
    listed = len(answer.tokens)
    if listed and reply.usage is not None and reply.usage.completion != listed:
        found.append(Finding(kinds.LOGPROBS_COUNT, f"{reply.usage.completion} entries, one a token", str(listed)))
    return [finding.about(exchange) for finding in found]


def cut_at(exchange: Exchange, tokens: int) -> list[Finding]:
    """The answer has exactly `tokens` tokens and finish_reason `length`."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return [Finding(kinds.PROTOCOL_ANSWER, "an answer", str(reply))]
    found = []
    if reply.finish_reason != "length":
        found.append(Finding(kinds.MAX_TOKENS_REASON, "finish_reason 'length'", repr(reply.finish_reason)))
    if reply.usage is None or reply.usage.completion != tokens:
        found.append(Finding(kinds.MAX_TOKENS_COUNT, f"{tokens} completion tokens", str(reply.usage)))
    return found


def stop_word(reply: Reply | NoReply) -> str:
    """An early word of an answer, long enough to occur only where it is expected; a comma if there is none."""
    words = [] if isinstance(reply, NoReply) else reply.text.split()[1:]
    return next((word for word in words if len(word) >= 4), ",")


def stopped_before(exchange: Exchange, whole: Exchange, word: str, tie: float | None = None) -> list[Finding]:
    """The text is that of the whole answer up to `word`, and its finish_reason is `stop`.

    With `tie`, the answer may leave the whole one at a near-tie; then it ends before `word` or does not contain it.
    """
    reply, full = spelled_of(exchange), spelled_of(whole)
    if isinstance(reply, NoReply) or isinstance(full, NoReply):
        missing = (side for side in (reply, full) if isinstance(side, NoReply))
        return [Finding(kinds.PROTOCOL_ANSWER, "an answer", str(side)).about(side.exchange) for side in missing]
    wanted = full.text.partition(word)[0]
    same = Agreement() if reply.text == wanted else agreement(full, _with_stop(reply, full, word), tie)
    reason, found = _finish_reason(exchange), []
    if reason != "stop" and (same.is_equal or not same.is_accepted):
        found.append(Finding(kinds.STOP_REASON, "finish_reason 'stop'", repr(reason)))
    if not same.is_accepted or word in reply.text:
        why = "" if same.is_accepted else f"; {same}"
        found.append(Finding(kinds.STOP_TEXT, f"{trimmed(wanted)}, up to {word!r}", trimmed(reply.text) + why))
    return found


def _with_stop(reply: Spelled, full: Spelled, word: str) -> Spelled:
    """The answer with the stop string that ended it, if one did: it was generated, too."""
    has_stop = reply.is_spelled_before(word) if reply.tokens else word in full.text
    return replace(reply, text=reply.text + word) if has_stop else reply


def _finish_reason(exchange: Exchange) -> str | None:
    reply = exchange.reply
    return reply.finish_reason if isinstance(reply, Reply) else None


def choices_are(exchange: Exchange, n: int) -> list[Finding]:
    """There are `n` choices with indexes 0 to n-1, the body conforms, and usage counts them all."""
    found = body_conforms("completion", exchange)
    if found:
        return found
    body = exchange.json()
    indexes = sorted(choice["index"] for choice in body["choices"])
    if indexes != list(range(n)):
        found.append(Finding(kinds.CHOICES, f"choices {list(range(n))}", f"{indexes}"))
    usage = usage_of(body)
    if usage is not None and not is_at_least(usage.completion, n):
        found.append(Finding(kinds.CHOICES_USAGE, f"at least {n} completion tokens", str(usage.completion)))
    return found


def logprobs_are(exchange: Exchange, top: int) -> list[Finding]:
    """One entry for each completion token, each at most zero, with `top` alternatives."""
    found = body_conforms("completion", exchange)
    if found:
        return found
    body = exchange.json()
    logprobs = body["choices"][0].get("logprobs")
    content = (logprobs or {}).get("content")
    if not content:
        return [Finding(kinds.LOGPROBS_CONTENT, "one entry a token", trimmed(logprobs))]
    usage = usage_of(body)
    if usage is not None and len(content) != usage.completion:
        found.append(Finding(kinds.LOGPROBS_COUNT, f"{usage.completion} entries, one a token", str(len(content))))
    for number, entry in enumerate(content):
        found += _entry(number, entry, top)
    return found[:MOST_FINDINGS]


def _entry(number: int, entry: dict[str, Any], top: int) -> list[Finding]:
    where, others = f"logprobs.content[{number}]", entry["top_logprobs"]
    highest = largest([entry["logprob"], *(other["logprob"] for other in others)])
    if not is_at_most(highest, ZERO):
        return [Finding(kinds.LOGPROBS_RANGE, "log probabilities of at most 0", str(highest), where)]
    # the chosen token may be listed in addition to the requested number
    if top <= len(others) <= top + 1:
        return []
    return [Finding(kinds.LOGPROBS_TOP, f"{top} alternatives", str(len(others)), where)]


def greedy(exchange: Exchange, tie: float) -> list[Finding]:
    """Every token is the likeliest of its alternatives, or at most `tie` nats less likely than that one."""
    found = logprobs_are(exchange, top=ALTERNATIVES)
    if found:
        return found
    content = exchange.json()["choices"][0]["logprobs"]["content"]
    gaps = [max(other["logprob"] for other in entry["top_logprobs"]) - entry["logprob"] for entry in content]
    sampled = sum(not is_at_most(gap, tie) for gap in gaps)
    observed = f"{sampled} of {len(gaps)} tokens are not, by up to {largest(gaps):.3g}"
    expected = "at temperature 0, each token the likeliest one"
    return [Finding(kinds.LOGPROBS_SAMPLED, expected, observed)] if sampled else []


def unique_ids(exchanges: Sequence[Exchange]) -> list[Finding]:
    """Every answer has an id, and no two the same."""
    ids = []
    for exchange in exchanges:
        try:
            ids.append(exchange.json()["id"])
        except (ValueError, KeyError, TypeError):
            return [Finding(kinds.ID_MISSING, "an id in every answer", _outcome(exchange), exchange.id)]
    twice = sorted({str(ident) for ident in ids if ids.count(ident) > 1})
    seen = f"{', '.join(twice)} more than once"
    return [Finding(kinds.ID_REPEATED, f"{len(ids)} different ids", seen)] if twice else []


def client_texts(plain: Spelled, streamed: Spelled, tie: float | None = None) -> list[Finding]:
    """The official client's two texts are there and equal; with `tie` they may differ from a near-tie on."""
    if not plain.text:
        return [Finding(kinds.OPENAI_TEXT, "a text", trimmed(plain.text))]
    same = agreement(plain, streamed, tie)
    if same.is_accepted:
        return [*spelling(plain), *spelling(streamed)]
    return [Finding(kinds.OPENAI_STREAM, trimmed(plain.text), f"{trimmed(streamed.text)}; {same}")]


def _outcome(exchange: Exchange) -> str:
    body = trimmed(exchange.body.decode("utf-8", "replace"))
    return str(exchange.error or f"HTTP {exchange.status}: {body}")
