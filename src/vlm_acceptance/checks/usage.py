"""Token counts: do they add up, and do they fit what was asked for and what came back."""

from __future__ import annotations

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Reply, Usage
from vlm_acceptance.core.finding import Finding


def usage_is_sound(reply: Reply, *, max_tokens: int | None = None, max_model_len: int | None = None) -> list[Finding]:
    """The counts add up, a text has tokens, and `length` means the limit was reached; None skips that limit."""
    usage = reply.usage
    if usage is None:
        return [Finding(kinds.USAGE_MISSING, "a usage block", "none")]
    found = []
    if usage.prompt + usage.completion != usage.total:
        expected = f"total_tokens {usage.prompt} + {usage.completion} = {usage.prompt + usage.completion}"
        found.append(Finding(kinds.USAGE_SUM, expected, f"total_tokens {usage.total}"))
    if usage.prompt < 1:
        found.append(Finding(kinds.USAGE_PROMPT, "at least one prompt token", f"prompt_tokens {usage.prompt}"))
    if reply.text and usage.completion < 1:
        observed = f"completion_tokens {usage.completion} for {len(reply.text)} characters"
        found.append(Finding(kinds.USAGE_COMPLETION, "at least one token for a text", observed))
    if max_tokens is not None and usage.completion > max_tokens:
        expected = f"no more than max_tokens {max_tokens}"
        found.append(Finding(kinds.USAGE_LIMIT, expected, f"completion_tokens {usage.completion}"))
    elif max_tokens is not None and reply.finish_reason == "length":
        found += _limit_was_reached(usage, max_tokens, max_model_len)
    return found


def prompt_tokens_are(reply: Reply, expected: int) -> list[Finding]:
    """The prompt has exactly `expected` tokens; fatal otherwise: another prompt than the one sent was answered."""
    if reply.usage is None:
        return [Finding(kinds.USAGE_PROMPT_TOKENS, f"prompt_tokens {expected}", "no usage block")]
    if reply.usage.prompt != expected:
        observed = f"prompt_tokens {reply.usage.prompt} ({reply.usage.prompt - expected:+d})"
        return [Finding(kinds.USAGE_PROMPT_TOKENS, f"prompt_tokens {expected}", observed)]
    return []


def _limit_was_reached(usage: Usage, max_tokens: int, max_model_len: int | None) -> list[Finding]:
    # A full context window ends an answer with the same reason.
    if usage.completion == max_tokens or (max_model_len is not None and usage.total == max_model_len):
        return []
    expected = f"finish_reason 'length' at completion_tokens {max_tokens}"
    if max_model_len is not None:
        expected += f" or total_tokens {max_model_len}"
    return [Finding(kinds.USAGE_LIMIT, expected, f"completion_tokens {usage.completion}, total_tokens {usage.total}")]
