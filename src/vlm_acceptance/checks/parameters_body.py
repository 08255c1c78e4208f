"""Parameters that change what a body holds: log probabilities, token ids, special tokens and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlm_acceptance.checks.parameters import unanswered
from vlm_acceptance.checks.parameters_answer import Answered, answer_of, asks_usage, bodies_of
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Usage, reply_of, token_count, usage_of
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import ZERO
from vlm_acceptance.core.numbers import is_at_most
from vlm_acceptance.core.spelling import BY_ID, SPECIAL
from vlm_acceptance.core.text import trimmed

_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)


def lists_alternatives(name: str, exchange: Exchange, top: int | None) -> list[Finding]:
    """One entry for each token, each with `top` alternatives; None: no log probabilities at all."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    entries, tokens = len(answer.names), answer.length
    if top is None:
        observed = f"log probabilities of {entries} tokens, which were not requested"
        return [Finding(kinds.PARAMETER_LOGPROBS, "no log probabilities", observed)] if entries else []
    if not entries or entries != tokens:
        expected = f"one log probability a token, by {name}"
        observed = f"{name} is not obeyed: {entries} for {'an unknown number of' if tokens is None else tokens} tokens"
        return [Finding(kinds.PARAMETER_LOGPROBS, expected, observed)]
    # the chosen token may be listed beside the requested number
    wrong = [count for count in answer.alternatives if not top <= count <= top + 1]
    if not wrong:
        return []
    observed = f"{name} is not obeyed: {wrong[0]} alternatives of a token, {len(wrong)} of {entries} tokens are wrong"
    return [Finding(kinds.PARAMETER_LOGPROBS, f"{top} alternatives of each token, by {name}", observed)]


def lists_prompt(exchange: Exchange) -> list[Finding]:
    """`prompt_logprobs` gives one entry for each token of the prompt, each at most zero; the first one is null."""
    reply = reply_of(exchange)
    if isinstance(reply, NoReply):
        return [unanswered(reply)]
    try:
        given = [body.get("prompt_logprobs") for body in bodies_of(exchange)]
        listed = next((one for one in given if one is not None), None)
        if not isinstance(listed, list):
            observed = f"prompt_logprobs is not obeyed: {trimmed(listed, 60)}"
            return [Finding(kinds.PARAMETER_LOGPROBS, "a log probability for each token of the prompt", observed)]
        values = [entry["logprob"] for one in listed[1:] for entry in one.values()]
    except _UNREADABLE as broken:
        observed = f"prompt_logprobs that cannot be read ({type(broken).__name__})"
        return [Finding(kinds.PARAMETER_LOGPROBS, "a log probability for each token of the prompt", observed)]
    found = []
    tokens = None if reply.usage is None else reply.usage.prompt
    if len(listed) != tokens and asks_usage(exchange):
        expected = f"{tokens} entries in prompt_logprobs, one a token of the prompt"
        found.append(Finding(kinds.PARAMETER_LOGPROBS, expected, str(len(listed))))
    if wrong := [value for value in values if not is_at_most(value, ZERO)]:
        observed = f"{len(wrong)} are not, the first is {trimmed(wrong[0], 40)}"
        found.append(Finding(kinds.PARAMETER_LOGPROBS, "log probabilities of the prompt of at most 0", observed))
    return found


def names_by_id(exchange: Exchange) -> list[Finding]:
    """`return_tokens_as_token_ids` names each token `token_id:N`."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    if answer.names and answer.ids is not None:
        return []
    named = next((name for name in answer.names if not name.startswith(BY_ID)), "no token at all")
    observed = f"return_tokens_as_token_ids is not obeyed: a token is named {trimmed(named, 40)}"
    return [Finding(kinds.PARAMETER_IDS, f"each token named {BY_ID}N", observed)]


def gives_ids(exchange: Exchange) -> list[Finding]:
    """`return_token_ids` gives the ids of the prompt and of the answer: as many as the usage counts, and the same."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    prompt: list[Any] = []
    mine: list[Any] = []
    try:
        for body in bodies_of(exchange):
            prompt += body.get("prompt_token_ids") or ()
            for choice in body["choices"]:
                mine += choice.get("token_ids") or ()
    except _UNREADABLE as broken:
        observed = f"token ids that cannot be read ({type(broken).__name__})"
        return [Finding(kinds.PARAMETER_IDS, "the ids of prompt and answer", observed)]
    if answer.usage is None and asks_usage(exchange):
        return [unanswered(NoReply("no usage that can be read", exchange))]
    usage = answer.usage
    found = _counted("prompt_token_ids", prompt, None if usage is None else usage.prompt)
    found += _counted("token_ids", mine, None if usage is None else usage.completion)
    if not found and answer.ids and tuple(mine) != answer.ids:
        observed = f"token_ids {trimmed(mine, 120)}"
        found.append(Finding(kinds.PARAMETER_IDS, f"the ids of the log probabilities, {list(answer.ids)}", observed))
    return found


def _counted(name: str, ids: Sequence[object], tokens: int | None) -> list[Finding]:
    wrong = [ident for ident in ids if token_count(ident) is None]
    if ids and not wrong and (tokens is None or len(ids) == tokens):
        return []
    observed = f"return_token_ids is not obeyed: {len(ids)} of them" if not wrong else f"an id {trimmed(wrong[0], 40)}"
    return [Finding(kinds.PARAMETER_IDS, f"{name}: the ids of {tokens} tokens", observed)]


def special_tokens_shown(exchange: Exchange, special: Sequence[str], *, are_shown: bool) -> list[Finding]:
    """Special tokens that were generated are in the text, or are left out of it."""
    answer = answer_of(exchange)
    if isinstance(answer, NoReply):
        return [unanswered(answer)]
    made = generated_special(answer, special)
    if not made or all((text in answer.text) is are_shown for text in made):
        return []
    observed = f"skip_special_tokens is not obeyed: the text {trimmed(answer.text[-80:])}"
    expected = f"a text {'with' if are_shown else 'without'} {', '.join(made)}, which the engine generated"
    return [Finding(kinds.PARAMETER_SPECIAL, expected, observed)]


def generated_special(answer: Answered, special: Sequence[str]) -> list[str]:
    """The special tokens that were generated before the last token, which may have ended the answer."""
    texts = dict.fromkeys(text.strip() for text in answer.texts[:-1])
    return [text for text in texts if text in special or (not special and SPECIAL.fullmatch(text))]


def usage_grows(exchange: Exchange) -> list[Finding]:
    """`continuous_usage_stats`: each chunk of the answer has a usage that does not shrink and ends at the whole one."""
    reply = reply_of(exchange)
    if isinstance(reply, NoReply):
        return [unanswered(reply)]
    try:
        bodies = list(bodies_of(exchange))
        seen = [usage_of(body) for body in bodies if body["choices"]]
    except _UNREADABLE as broken:
        return [unanswered(NoReply(f"chunks that cannot be read ({type(broken).__name__})", exchange))]
    counts = [usage for usage in seen if usage is not None]
    if not seen or len(counts) != len(seen):
        observed = f"continuous_usage_stats is not obeyed: {len(seen) - len(counts)} of {len(seen)} have none"
        return [Finding(kinds.PARAMETER_USAGE, "a usage in each chunk of the answer", observed)]
    completions = [usage.completion for usage in counts]
    if completions != sorted(completions) or counts[-1] != reply.usage:
        observed = f"completion_tokens {trimmed(completions, 80)}, in the end {trimmed(_shown(reply.usage), 80)}"
        return [Finding(kinds.PARAMETER_USAGE, "a usage that grows up to the whole one", observed)]
    return []


def _shown(usage: Usage | None) -> str:
    return "no usage" if usage is None else f"{usage.completion} of {usage.total} tokens"


def cached_tokens(exchanges: Sequence[Exchange]) -> list[Finding]:
    """Where `usage.prompt_tokens_details` is offered, `cached_tokens` counts a part of the prompt."""
    for exchange in exchanges:
        reply = reply_of(exchange)
        if isinstance(reply, NoReply):
            return [unanswered(reply)]
        details = details_of(exchange)
        if details is None:
            continue
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else details
        prompt = None if reply.usage is None else reply.usage.prompt
        # null: the engine does not know
        count = token_count(cached)
        if cached is None or (count is not None and prompt is not None and count <= prompt):
            continue
        expected = f"no more cached_tokens than the {prompt} tokens of the prompt"
        return [Finding(kinds.PARAMETER_USAGE, expected, f"cached_tokens {trimmed(cached, 60)}").about(exchange)]
    return []


def details_of(exchange: Exchange) -> Any:
    """`usage.prompt_tokens_details` of the body, or of the last chunk that has a usage; None without any."""
    found = None
    for body in bodies_of(exchange):
        usage = body.get("usage")
        found = usage.get("prompt_tokens_details") if isinstance(usage, Mapping) else found
    return found


def tokens_counted(exchange: Exchange) -> int | None:
    """How many tokens `/tokenize` counts; None where it is not offered or cannot be read."""
    try:
        return token_count(exchange.json()["count"])
    except _UNREADABLE:
        return None


def prompt_is(exchange: Exchange, tokens: int, name: str) -> list[Finding]:
    """The prompt has so many tokens, by the parameter `name`."""
    reply = reply_of(exchange)
    if isinstance(reply, NoReply):
        return [unanswered(reply)]
    seen = None if reply.usage is None else reply.usage.prompt
    if seen == tokens or (seen is None and not asks_usage(exchange)):
        return []
    observed = f"{name} is not obeyed: {'no count of' if seen is None else seen} tokens"
    return [Finding(kinds.PARAMETER_PROMPT, f"a prompt of {tokens} tokens, by {name}", observed)]


def prompt_is_shorter(name: str, exchange: Exchange, other: Exchange) -> list[Finding]:
    """With the parameter the prompt has fewer tokens than without."""
    reply, longer = reply_of(exchange), reply_of(other)
    if isinstance(reply, NoReply) or isinstance(longer, NoReply):
        return [unanswered(one) for one in (reply, longer) if isinstance(one, NoReply)][:1]
    if reply.usage is None or longer.usage is None:
        return [unanswered(NoReply("no usage that can be read", exchange))] if asks_usage(exchange) else []
    if reply.usage.prompt < longer.usage.prompt:
        return []
    observed = f"{name} is not obeyed: {reply.usage.prompt} tokens"
    return [Finding(kinds.PARAMETER_PROMPT, f"a prompt of fewer than {longer.usage.prompt} tokens", observed)]


def begins_with(name: str, exchange: Exchange, text: str) -> list[Finding]:
    """The text of the answer begins with this text, which `name` puts there."""
    reply = reply_of(exchange)
    if isinstance(reply, NoReply):
        return [unanswered(reply)]
    if reply.text.startswith(text):
        return []
    observed = f"{name} is not obeyed: {trimmed(reply.text, 80)}"
    return [Finding(kinds.PARAMETER_PROMPT, f"a text that begins with {text!r}", observed)]
