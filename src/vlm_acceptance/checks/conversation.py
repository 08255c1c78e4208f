"""Conversations: every part that is sent reaches the model, once and in order, as the chat template says.

Prompt tokens need no skill of the model: a part that is made longer by some words costs their tokens, wherever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from vlm_acceptance.checks.pictures import prompt_tokens_of
from vlm_acceptance.checks.served_prompt import PromptTokens
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.text import trimmed

SHOWN = 6  # tokens around the first difference
# tokens: a slow tokenizer encodes a prompt with pictures twice, which adds blanks and joins words with them, up to one
# token for each message; less than any tile
SLACK = 8
# how tokenizers write blanks and line ends
_BLANKS = str.maketrans({"\u0120": " ", "\u2581": " ", "\u010a": "\n"})


def parts_arrive(
    replies: Mapping[str, Reply | NoReply],
    alone: tuple[str, str],
    base: str,
    parts: Sequence[str],
    hints: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Each part, made longer by the same words, costs as many more prompt tokens as they do in a question alone.

    `alone` names the question without and with the words, `base` the conversation before a part is made longer, `hints`
    what a reader may do about a part that is lost.
    """
    counts = _counts(replies)
    if isinstance(counts, Finding):
        return [counts]
    cost = counts[alone[1]] - counts[alone[0]]
    if cost <= 0:
        seen = f"{counts[alone[0]]} without and {counts[alone[1]]} with them"
        return [Finding(kinds.CONVERSATION_LOST, "more prompt tokens for more words", seen, alone[1])]
    found = []
    for name in parts:
        grown = counts[name] - counts[base]
        if grown != cost:
            kind, why = _named(grown, cost)
            why += f"; {hints[name]}" if grown == 0 and name in hints else ""
            expected = f"{cost} more prompt tokens for the words that were added to it, as in {alone[0]}"
            found.append(Finding(kind, expected, f"{grown} more: {why}", name, replies[name].exchange))
    return found


def _counts(replies: Mapping[str, Reply | NoReply]) -> dict[str, int] | Finding:
    """The prompt tokens of every answer, or a finding about the first one without them."""
    counts: dict[str, int] = {}
    for name, reply in replies.items():
        count = prompt_tokens_of(reply, kinds.CONVERSATION_ANSWER, name)
        if isinstance(count, Finding):
            return count
        counts[name] = count
    return counts


def _named(grown: int, cost: int) -> tuple[kinds.FindingClass, str]:
    if grown == 0:
        return kinds.CONVERSATION_LOST, "it does not reach the model"
    if grown > cost and grown % cost == 0:
        return kinds.CONVERSATION_TWICE, f"it reaches the model {grown // cost} times"
    return kinds.CONVERSATION_LOST, "it reaches the model in part, or changed"


def markers_in_order(prompt: PromptTokens, markers: Sequence[str]) -> list[Finding]:
    """The number of each part occurs once in the prompt's text, in the order in which the parts were sent."""
    text = "".join(prompt.texts)
    if not text:
        return []
    wrong = [marker for marker in markers if text.count(marker) != 1]
    if wrong:
        seen = ", ".join(f"{marker} {text.count(marker)} times" for marker in wrong)
        return [Finding(kinds.CONVERSATION_ORDER, "the number of each part once in the prompt", seen)]
    order = sorted(markers, key=text.index)
    if order == list(markers):
        return []
    return [Finding(kinds.CONVERSATION_ORDER, f"parts in the order {' '.join(markers)}", " ".join(order))]


def prompt_ids(exchange: Exchange) -> tuple[int, ...] | None:
    """The prompt's token ids, as an answer with `return_token_ids` gives them, streamed or not; None without them."""
    try:
        if exchange.request.stream:
            bodies = (read_json(frame.data) for frame in exchange.frames if frame.data.strip() != "[DONE]")
            listed = next((body["prompt_token_ids"] for body in bodies if body.get("prompt_token_ids")), None)
        else:
            listed = exchange.json()["prompt_token_ids"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(listed, list) or not all(type(one) is int for one in listed):
        return None
    return tuple(listed) or None


def same_prompt(seen: PromptTokens, wanted: PromptTokens, start: str, where: str) -> list[Finding]:
    """The prompt has exactly these tokens; what is wrong is named: its beginning, a system message, the template.

    `start` is the text before the first message, '' if it has none.
    """
    if seen.ids == wanted.ids:
        return []
    at = _first_difference(seen, wanted)
    expected = f"{len(wanted.ids)} tokens; from token {at + 1} on: {_around(wanted, at)}"
    observed = (
        f"{len(seen.ids)} tokens; from token {at + 1} on: {_around(seen, at)}: {_difference(seen, wanted, start)}"
    )
    return [Finding(kinds.CONVERSATION_TEMPLATE, expected, observed, where)]


def _first_difference(one: PromptTokens, other: PromptTokens) -> int:
    pairs = zip(one.ids, other.ids, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.ids), len(other.ids)))


def _around(prompt: PromptTokens, at: int) -> str:
    end = PromptTokens(prompt.ids[at:], prompt.texts[at:] if len(prompt.texts) == len(prompt.ids) else ())
    return end.start(SHOWN) or "nothing"


def _difference(seen: PromptTokens, wanted: PromptTokens, start: str) -> str:
    """What is wrong with a prompt, in words."""
    ids, right = seen.ids, wanted.ids
    if start and ids == right[1:]:
        return f"it does not begin with {start!r}"
    head = _first_difference(seen, wanted)
    extra = len(ids) - len(right)
    if extra > 0 and ids[head + extra :] == right[head:]:
        return f"a text of {extra} tokens that was not sent: {_said(seen, head, head + extra)}"
    if extra < 0 and ids[head:] == right[head - extra :]:
        return f"a text of {-extra} tokens is missing: {_said(wanted, head, head - extra)}"
    return "the template of another model, or other texts"


def _said(prompt: PromptTokens, begin: int, end: int) -> str:
    text = "".join(prompt.texts[begin:end]).translate(_BLANKS)
    return trimmed(text) if text else "its text is not known"


def with_texts(ids: Sequence[int], known: PromptTokens) -> PromptTokens:
    """Token ids with their texts, as far as another prompt has them."""
    texts = dict(zip(known.ids, known.texts, strict=False))
    return PromptTokens(tuple(ids), tuple(texts.get(one, f"[{one}]") for one in ids))


def same_count(reply: Reply | NoReply, wanted: int, says: str, where: str) -> list[Finding]:
    """As many prompt tokens are used as `says` has counted."""
    count = prompt_tokens_of(reply, kinds.CONVERSATION_ANSWER, where)
    if isinstance(count, Finding):
        return [count]
    if count == wanted:
        return []
    expected = f"{wanted} prompt tokens, as {says}"
    return [Finding(kinds.CONVERSATION_TEMPLATE, expected, f"{count} in usage", where, reply.exchange)]


def pictures_cost_as_alone(
    replies: Mapping[str, Reply | NoReply], alone: tuple[str, str], base: str, turns: Sequence[str]
) -> list[Finding]:
    """A picture in any turn costs the prompt tokens that it costs in a question alone, give or take SLACK.

    `alone` names the question without and with the picture, `base` the conversation without one.
    """
    counts = _counts(replies)
    if isinstance(counts, Finding):
        return [counts]
    cost = counts[alone[1]] - counts[alone[0]]
    found = []
    for name in turns:
        grown = counts[name] - counts[base]
        if abs(grown - cost) > SLACK:
            why = "it does not reach the model" if grown <= SLACK else "it does not reach the model whole"
            expected = f"{cost} more prompt tokens for the picture, as in {alone[0]}"
            seen = f"{grown} more: {why}"
            found.append(Finding(kinds.CONVERSATION_PICTURE, expected, seen, name, replies[name].exchange))
    return found


def tiles_arrive(replies: Mapping[str, Reply | NoReply], base: str, more: Mapping[str, int]) -> list[Finding]:
    """A larger picture in one turn costs as many more prompt tokens as its tiles, `more`, by the turn's name."""
    counts = _counts(replies)
    if isinstance(counts, Finding):
        return [counts]
    found = []
    for name, wanted in more.items():
        grown = counts[name] - counts[base]
        if grown != wanted:
            expected = f"{wanted} more prompt tokens for the tiles of the larger picture"
            why = "the picture does not reach the model" if grown <= 0 else "not all of its tiles reach the model"
            seen = f"{grown} more: {why}"
            found.append(Finding(kinds.CONVERSATION_PICTURE, expected, seen, name, replies[name].exchange))
    return found


def pictures_in_place(
    prompt: PromptTokens, runs: Sequence[int], before: Sequence[str], markers: Sequence[str], where: str
) -> list[Finding]:
    """The prompt has runs of one picture token as long as `runs`, the n-th right before the text with `before[n]`.

    `markers` are the numbers of all texts in order. Without the texts of the tokens only the order of runs is judged.
    """
    least = min(runs)
    places = dict(zip(before, runs, strict=True))
    wanted: list[str] = []
    for marker in markers:
        wanted += [_picture(places[marker])] if marker in places else []
        wanted += [marker] if prompt.texts else []
    if not prompt.texts:
        wanted = [_picture(length) for length in runs]
    seen = _events(prompt, least, markers)
    if seen == wanted:
        return []
    return [Finding(kinds.CONVERSATION_PICTURE, " ".join(wanted), " ".join(seen) or "no picture", where)]


def _picture(length: int) -> str:
    return f"[picture of {length} tokens]"


def _events(prompt: PromptTokens, least: int, markers: Sequence[str]) -> list[str]:
    """Pictures, and numbers of texts, as they occur in the prompt."""
    seen: list[str] = []
    text = ""
    texts = prompt.texts or ("",) * len(prompt.ids)
    for _, same in groupby(zip(prompt.ids, texts, strict=True), key=lambda pair: pair[0]):
        pieces = list(same)
        if len(pieces) < least:
            text += "".join(piece for _, piece in pieces)
            continue
        seen += [*_numbers(text, markers), _picture(len(pieces))]
        text = ""
    return [*seen, *_numbers(text, markers)]


def _numbers(text: str, markers: Sequence[str]) -> list[str]:
    return sorted((marker for marker in markers if marker in text), key=text.index)
