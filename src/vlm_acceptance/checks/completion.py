"""What request parameters must do, seen in the exchange they came back in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlm_acceptance.checks.schema import conforms
from vlm_acceptance.checks.usage import usage_is_sound
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, usage_of
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

ZERO = 1e-6
# with one alternative, vLLM lists the chosen token alone
ALTERNATIVES = 5


def body_conforms(name: str, exchange: Exchange) -> list[Finding]:
    """The JSON body conforms to a schema of `fixtures/schemas/`, served as JSON with status 200."""
    if exchange.error is not None or exchange.status != 200:
        return [Finding(kinds.schema_class(name), "HTTP 200", _outcome(exchange))]
    if "application/json" not in exchange.headers.get("content-type", ""):
        return [
            Finding(
                kinds.schema_class(name), "content-type application/json", repr(exchange.headers.get("content-type"))
            )
        ]
    try:
        return conforms(name, exchange.json())
    except ValueError as broken:
        return [Finding(kinds.schema_class(name), "a JSON body", f"{broken}: {trimmed(exchange.body)}")]


def usage_of_exchange(exchange: Exchange, max_tokens: int) -> list[Finding]:
    """Usage is there and adds up."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return [Finding(kinds.USAGE_ANSWER, "an answer", str(reply))]
    return usage_is_sound(reply, max_tokens=max_tokens)


def names_model(exchange: Exchange, model: str) -> list[Finding]:
    """The body names the model that was asked."""
    try:
        named = exchange.json().get("model")
    except (ValueError, AttributeError):
        return []  # said by body_conforms
    return [] if named == model else [Finding(kinds.SCHEMA_MODEL, repr(model), repr(named), "$.model")]


def same_usage(streamed: Exchange, plain: Exchange) -> list[Finding]:
    """Both report the same usage; what keeps either from being read is said by other checks."""
    left, right = streamed.reply, plain.reply
    if isinstance(left, NoReply) or isinstance(right, NoReply) or left.usage == right.usage:
        return []
    return [Finding(kinds.STREAM_USAGE, f"the plain request's usage, {right.usage}", str(left.usage))]


def cut_at(exchange: Exchange, tokens: int) -> list[Finding]:
    """The answer has exactly `tokens` tokens and says `length`."""
    reply = _reply(exchange)
    if isinstance(reply, Finding):
        return [reply]
    found = []
    if reply.finish_reason != "length":
        found.append(Finding(kinds.MAX_TOKENS_REASON, "finish_reason 'length'", repr(reply.finish_reason)))
    if reply.usage is None or reply.usage.completion != tokens:
        found.append(Finding(kinds.MAX_TOKENS_COUNT, f"{tokens} completion tokens", str(reply.usage)))
    return found


def stop_word(reply: Reply | NoReply) -> str:
    """A word from the beginning of an answer, long enough to be found again; a comma when there is none."""
    words = [] if isinstance(reply, NoReply) else reply.text.split()[1:]
    return next((word for word in words if len(word) >= 4), ",")


def stopped_before(exchange: Exchange, whole: Exchange, word: str) -> list[Finding]:
    """The text ends before `word`, is the beginning of the whole answer, and says `stop`."""
    reply, full = _reply(exchange), _reply(whole)
    if isinstance(reply, Finding) or isinstance(full, Finding):
        return [side for side in (reply, full) if isinstance(side, Finding)]
    found = []
    if reply.finish_reason != "stop":
        found.append(Finding(kinds.STOP_REASON, "finish_reason 'stop'", repr(reply.finish_reason)))
    wanted = full.text.partition(word)[0]
    if reply.text != wanted:
        found.append(Finding(kinds.STOP_TEXT, f"{trimmed(wanted)}, up to {word!r}", trimmed(reply.text)))
    return found


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
    if usage is not None and usage.completion < n:
        found.append(Finding(kinds.CHOICES_USAGE, f"at least {n} completion tokens", str(usage.completion)))
    return found


def logprobs_are(exchange: Exchange, top: int) -> list[Finding]:
    """One entry for each completion token, each conforming, at most zero, with `top` alternatives."""
    found = body_conforms("completion", exchange)
    if found:
        return found
    body = exchange.json()
    content = (body["choices"][0].get("logprobs") or {}).get("content")
    if not content:
        return [Finding(kinds.LOGPROBS_CONTENT, "one entry a token", trimmed(body["choices"][0].get("logprobs")))]
    usage = usage_of(body)
    if usage is not None and len(content) != usage.completion:
        found.append(Finding(kinds.LOGPROBS_COUNT, f"{usage.completion} entries, one a token", str(len(content))))
    for number, entry in enumerate(content):
        found.extend(_entry(number, entry, top))
    return found[:8]


def _entry(number: int, entry: dict[str, Any], top: int) -> list[Finding]:
    where = f"logprobs.content[{number}]"
    values = [entry["logprob"], *(other["logprob"] for other in entry["top_logprobs"])]
    if any(value > ZERO for value in values):
        return [Finding(kinds.LOGPROBS_RANGE, "log probabilities of at most 0", str(max(values)), where)]
    # the chosen token may come on top of the asked number
    if not top <= len(entry["top_logprobs"]) <= top + 1:
        return [Finding(kinds.LOGPROBS_TOP, f"{top} alternatives", str(len(entry["top_logprobs"])), where)]
    return []


def greedy(exchange: Exchange, tie: float) -> list[Finding]:
    """Every token is the likeliest of its alternatives, or behind it by at most `tie` (natural log units)."""
    found = logprobs_are(exchange, top=ALTERNATIVES)
    if found:
        return found
    content = exchange.json()["choices"][0]["logprobs"]["content"]
    gaps = [max(other["logprob"] for other in entry["top_logprobs"]) - entry["logprob"] for entry in content]
    drawn = sum(gap > tie for gap in gaps)
    if not drawn:
        return []
    seen = f"{drawn} of {len(gaps)} tokens are not, by up to {max(gaps):.3g}"
    return [Finding(kinds.LOGPROBS_SAMPLED, "at temperature 0, each token the likeliest one", seen)]


def unique_ids(exchanges: Sequence[Exchange]) -> list[Finding]:
    """Every answer has an id, and no two the same."""
    ids = []
    for exchange in exchanges:
        try:
            ids.append(exchange.json()["id"])
        except (ValueError, KeyError, TypeError):
            return [Finding(kinds.ID_MISSING, "an id in every answer", _outcome(exchange), exchange.id)]
    twice = sorted({ident for ident in ids if ids.count(ident) > 1})
    return (
        [Finding(kinds.ID_REPEATED, f"{len(ids)} different ids", f"{', '.join(map(str, twice))} more than once")]
        if twice
        else []
    )


def client_texts(plain: str | None, streamed: str) -> list[Finding]:
    """The official client's two texts are there and equal."""
    if not plain:
        return [Finding(kinds.OPENAI_TEXT, "a text", trimmed(plain))]
    return [] if plain == streamed else [Finding(kinds.OPENAI_STREAM, trimmed(plain), trimmed(streamed))]


def reply_of_client(completion: Any) -> Reply:
    """The official client's completion as a Reply."""
    choice = completion.choices[0]
    return Reply(
        choice.message.content or "", choice.finish_reason, usage_of(completion.model_dump()), completion.model, 0.0
    )


def _reply(exchange: Exchange) -> Reply | Finding:
    reply = exchange.reply
    return Finding(kinds.PROTOCOL_ANSWER, "an answer", str(reply)) if isinstance(reply, NoReply) else reply


def _outcome(exchange: Exchange) -> str:
    if exchange.error is not None:
        return f"{exchange.error.kind}: {exchange.error.message}"
    return f"HTTP {exchange.status}: {trimmed(exchange.body.decode('utf-8', 'replace'))}"
