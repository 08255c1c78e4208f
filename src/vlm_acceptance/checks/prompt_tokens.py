"""Picture tokens as the server counts them, against the tile formula and its own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tiles import TileRule, picture_tokens


def size_name(size: tuple[int, int]) -> str:
    """`WxH`."""
    return f"{size[0]}x{size[1]}"


def steps_match(sizes: Sequence[tuple[int, int]], replies: Sequence[Reply | NoReply], rule: TileRule) -> list[Finding]:
    """Under one text, each picture's prompt tokens exceed the first one's by what the formula says."""
    counted: list[int | None] = []
    found = []
    for size, reply in zip(sizes, replies, strict=True):
        if isinstance(reply, NoReply) or reply.usage is None:
            seen = str(reply) if isinstance(reply, NoReply) else "no usage"
            found.append(Finding(kinds.TILE_COUNT, "an answer with usage", seen, size_name(size), reply.exchange))
            counted.append(None)
        else:
            counted.append(reply.usage.prompt)
    if counted[0] is None:
        return found
    base = picture_tokens(*sizes[0], rule)
    for size, tokens, reply in zip(sizes[1:], counted[1:], replies[1:], strict=True):
        wanted = picture_tokens(*size, rule) - base
        if tokens is not None and tokens - counted[0] != wanted:
            expected = f"{wanted} prompt tokens more than a picture of {size_name(sizes[0])}"
            more = f"{tokens - counted[0]} more"
            found.append(Finding(kinds.TILE_COUNT, expected, more, size_name(size), reply.exchange))
    return found


def tokenize_agrees(counted: Exchange, reply: Reply | NoReply) -> list[Finding]:
    """`/tokenize` counts the same messages as `usage.prompt_tokens` did."""
    if isinstance(reply, NoReply) or reply.usage is None:
        return []  # said by steps_match
    try:
        count = counted.json()["count"]
    except (ValueError, KeyError, TypeError):
        seen = counted.error or f"HTTP {counted.status}: {trimmed(counted.body.decode('utf-8', 'replace'))}"
        return [Finding(kinds.TILE_TOKENIZE, "a count from /tokenize", str(seen), "/tokenize")]
    if count != reply.usage.prompt:
        return [Finding(kinds.TILE_TOKENIZE, f"{reply.usage.prompt} tokens, as usage says", f"{count}", "/tokenize")]
    return []
