"""The prompt that is served, token by token: how it begins, and that it begins alike with a picture and without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

SHOWN = 10  # tokens in a message


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """The tokens of a prompt as `/tokenize` reports them: ids, and texts where it gives them."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]

    def start(self, count: int = SHOWN) -> str:
        """The first tokens, for a message."""
        shown = [repr(text) for text in self.texts] or [str(one) for one in self.ids]
        return " ".join(shown[:count]) + (" …" if len(shown) > count else "")


def read_tokens(exchange: Exchange) -> PromptTokens | Finding:
    """The tokens in an answer of `/tokenize`, or a finding about an answer without them."""
    try:
        body = exchange.json()
        ids, texts = body["tokens"], body.get("token_strs") or []
        if exchange.status == 200 and ids and all(type(one) is int for one in ids):
            return PromptTokens(tuple(ids), tuple(map(str, texts)))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    seen = exchange.error or f"HTTP {exchange.status}: {trimmed(exchange.body.decode('utf-8', 'replace'))}"
    return Finding(kinds.PROMPT_TOKENS, "tokens from /tokenize", str(seen), "/tokenize")


def begins_with(prompt: PromptTokens, wanted: PromptTokens) -> list[Finding]:
    """The prompt begins with these tokens."""
    if prompt.ids[: len(wanted.ids)] == wanted.ids:
        return []
    expected = f"a prompt that begins with {wanted.start()}"
    return [Finding(kinds.PROMPT_START, expected, prompt.start(), "a text")]


def begins_alike(texts: Sequence[PromptTokens], picture: PromptTokens) -> list[Finding]:
    """Before its picture, the prompt has the tokens that prompts of different texts have before their texts."""
    columns = takewhile(lambda ids: len(set(ids)) == 1, zip(*(one.ids for one in texts), strict=False))
    head = tuple(ids[0] for ids in columns)
    if picture.ids[: len(head)] == head:
        return []
    expected = f"as without a picture: {texts[0].start(len(head))}"
    return [Finding(kinds.PROMPT_START, expected, picture.start(), "a picture")]
