"""Pictures in a prompt: several keep the order in which they are sent, and each costs the tokens of its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlm_acceptance.checks.answer import fold
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, token_count
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tiles import TileRule, picture_tokens

Words = tuple[str, ...]
# the pictures of each request about their order
ORDERS: tuple[Words, ...] = (("red", "green"), ("green", "red"), ("blue", "yellow"), ("yellow", "blue"))
# of four; a model that always names one colour first has two, one that orders by chance rarely has four
MOST_REVERSED = 3


def in_order(wanted: Sequence[Words], replies: Sequence[Reply | NoReply], least: int) -> list[Finding]:
    """At least `least` answers name their pictures in the order sent; every wrong one if fewer do.

    Only a missing answer is fatal: whether a small model can keep an order is a matter of calibration.
    """
    wrong = []
    for words, reply in zip(wanted, replies, strict=True):
        where = "-".join(words)
        if isinstance(reply, NoReply):
            wrong.append(Finding(kinds.MULTI_MISSING, "an answer", str(reply), where, reply.exchange))
        elif not names_in_order(words, reply.text):
            lost = [word for word in words if word.casefold() not in fold(reply.text).split()]
            seen = f"not named: {', '.join(lost)}" if lost else "another order"
            seen += f": {trimmed(reply.text)}"
            wrong.append(Finding(kinds.MULTI_ORDER, ", then ".join(words), seen, where, reply.exchange))
    starved = [found for found in wrong if found.is_starved]
    missing = any(found.kind is kinds.MULTI_MISSING and not found.is_starved for found in wrong)
    return wrong if missing or len(wanted) - len(wrong) + len(starved) < least else starved


def reversed_order(wanted: Sequence[Words], replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Not all answers of four name the pictures exactly in reverse: who does so sees them, in another order."""
    count = count_in_order([words[::-1] for words in wanted], replies)
    if count <= MOST_REVERSED:
        return []
    observed = f"{count} of {len(wanted)} answers name the pictures in reverse order"
    return [Finding(kinds.MULTI_REVERSED, f"at most {MOST_REVERSED} in reverse order", observed)]


def count_in_order(wanted: Sequence[Words], replies: Sequence[Reply | NoReply]) -> int:
    """How many answers name their pictures in the order sent."""
    pairs = zip(wanted, replies, strict=True)
    return sum(isinstance(reply, Reply) and names_in_order(words, reply.text) for words, reply in pairs)


def names_in_order(words: Words, text: str) -> bool:
    """Whether every word occurs, and first occurrences are in this order."""
    folded = fold(text).split()
    places = [folded.index(word) if word in folded else -1 for word in map(str.casefold, words)]
    return -1 not in places and places == sorted(places)


def tokens_grow_evenly(counts: Mapping[int, Reply | NoReply], least: int) -> list[Finding]:
    """Prompt tokens by number of equal pictures grow by the same number per picture, at least `least`.

    With one number of pictures there is nothing to compare.
    """
    tokens: dict[int, int] = {}
    for number, reply in counts.items():
        count = prompt_tokens_of(reply, kinds.MULTI_TOKENS, f"{number} pictures")
        if isinstance(count, Finding):
            return [count]
        tokens[number] = count
    if len(tokens) < 2:
        return []
    (one, base), (two, second), *more = sorted(tokens.items())
    step = (second - base) / (two - one)
    counted = ", ".join(f"{count} with {number}" for number, count in sorted(tokens.items()))
    seen = f"prompt tokens: {counted} pictures"
    if not is_at_least(step, least):
        expected = f"at least {least} more prompt tokens with every picture"
        return [Finding(kinds.MULTI_TOKENS, expected, seen, f"{two} pictures", counts[two].exchange)]
    return [
        Finding(kinds.MULTI_TOKENS, f"{line:g} prompt tokens", seen, f"{number} pictures", counts[number].exchange)
        for number, count in more
        if count != (line := base + step * (number - one))
    ]


def size_name(size: tuple[int, int]) -> str:
    """`WxH`."""
    return f"{size[0]}x{size[1]}"


def tokens_match_tiles(
    sizes: Sequence[tuple[int, int]], replies: Sequence[Reply | NoReply], rule: TileRule
) -> list[Finding]:
    """With the same text, the prompt tokens of each picture exceed those of the first one as the tile formula says."""
    names = [size_name(size) for size in sizes]
    counts = [prompt_tokens_of(reply, kinds.TILE_COUNT, name) for name, reply in zip(names, replies, strict=True)]
    found = [count for count in counts if isinstance(count, Finding)]
    if isinstance(counts[0], Finding):
        return found
    for size, name, count, reply in zip(sizes[1:], names[1:], counts[1:], replies[1:], strict=True):
        wanted = picture_tokens(*size, rule) - picture_tokens(*sizes[0], rule)
        if not isinstance(count, Finding) and count - counts[0] != wanted:
            expected, seen = f"{wanted} prompt tokens more than a picture of {names[0]}", f"{count - counts[0]} more"
            found.append(Finding(kinds.TILE_COUNT, expected, seen, name, reply.exchange))
    return found


def tokenize_agrees(counted: Exchange, reply: Reply | NoReply) -> list[Finding]:
    """`/tokenize` counts as many tokens in the same messages as `usage.prompt_tokens`."""
    if isinstance(reply, NoReply) or reply.usage is None:
        return []  # tokens_match_tiles reports it
    try:
        count = token_count(counted.json()["count"])
    except (ValueError, KeyError, TypeError):
        count = None
    if count is None:
        seen = counted.error or f"HTTP {counted.status}: {trimmed(counted.body.decode('utf-8', 'replace'))}"
        return [Finding(kinds.TILE_TOKENIZE, "a count from /tokenize", str(seen), "/tokenize")]
    if count == reply.usage.prompt:
        return []
    return [Finding(kinds.TILE_TOKENIZE, f"{reply.usage.prompt} tokens, as in usage", f"{count}", "/tokenize")]


def prompt_tokens_of(reply: Reply | NoReply, kind: kinds.FindingClass, where: str) -> int | Finding:
    """Prompt tokens by the answer's usage; a finding of this kind if it has none."""
    count = None if isinstance(reply, NoReply) or reply.usage is None else token_count(reply.usage.prompt)
    if count is not None:
        return count
    seen = str(reply) if isinstance(reply, NoReply) else "no usage"
    return Finding(kind, "an answer with usage", seen, where, reply.exchange)
