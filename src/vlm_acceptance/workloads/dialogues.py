"""Requests that only a whole conversation answers: about earlier pictures, system messages, and long texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.cases import dialogues
from vlm_acceptance.cases.challenge_pictures import MAX_TOKENS
from vlm_acceptance.cases.dialogues import HIDDEN, LOOK, Dialogue
from vlm_acceptance.client.chat import plain_url, user_message
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.tiles import TileRule, picture_tokens
from vlm_acceptance.workloads.challenge import url_of
from vlm_acceptance.workloads.load import STREAMED
from vlm_acceptance.workloads.refused_pictures import text_tokens

# of a context of so many tokens, the longest text that is sent takes these; the rest is for template and answer
LONGEST, OF = 7, 8
# a length that is nearly the longest one stands for it
NEARLY = 0.8
COUNTED = 40
# two questions or more of each in a run
GROUPS = {
    "earlier": "the picture of an earlier turn",
    "first": "the first of two pictures of earlier turns",
    "second": "the second of two pictures of earlier turns",
    "language": "the system message demands a language",
}
# of long texts: two questions of each group, too
HIDDEN_GROUPS = [
    "a picture in a long text" if is_picture else f"a password after {share:.0%} of a long text"
    for share, is_picture in HIDDEN
]
# questions of a kind, in words
NAMES = {
    "earlier": "the picture of turn 1, asked for in turn 3",
    "first": "the first of two pictures",
    "second": "the second of two pictures",
    "language": "the language that the system message demands",
    "needle": "a password",
    "picture-needle": "a picture",
}


def asked(drawn: Sequence[Dialogue], where: Sequence[str] = ()) -> list[Question]:
    """The questions for the checks, each with what its own conversation shows first; ids are numbered, so all differ.

    Of other conversations only numbers of pictures count: a word, or a digit, may be in any answer. `where`: what each
    asks for, in words, in place of the names of its kind.
    """
    made = []
    for number, one in enumerate(drawn, 1):
        name = f"question {number} ({where[number - 1] if where else NAMES[one.kind]})"
        own = Picture(Path(name), one.parts, one.texts)
        numbers = {text.text for other in drawn for shown in other.shown for text in shown.texts if text.text.isdigit()}
        others = tuple(Picture(Path(text), ((text,),), frozenset({text})) for text in sorted(numbers - one.texts))
        made.append(Question(name, one.prompt, one.language, (1, MAX_TOKENS), MAX_TOKENS, 0, (own, *others)))
    return made


def groups(drawn: Sequence[Dialogue]) -> list[str]:
    """What each conversation shows, in words; each as often as any other."""
    return [GROUPS[one.kind] for one in drawn]


def bodies(model: str, drawn: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """One greedy request for each conversation, every other one streamed."""
    made = [{"model": model, "messages": messages(one), "temperature": 0.0, "max_tokens": MAX_TOKENS} for one in drawn]
    return [{**body, **STREAMED} if number % 2 else body for number, body in enumerate(made)]


def messages(drawn: Dialogue) -> list[dict[str, Any]]:
    """The messages of a conversation as the API takes them."""
    return [
        user_message(line.text, (url_of(line.picture),)) if line.picture else {"role": line.role, "content": line.text}
        for line in drawn.lines
    ]


def lengths(wanted: Sequence[int], max_model_len: int | None) -> list[int]:
    """The lengths in tokens that the context has room for, from short to long; the longest one for those it has not."""
    known = sorted(set(wanted))
    if max_model_len is None:
        return known
    longest = max_model_len * LONGEST // OF
    found = [length for length in known if length <= longest]
    is_cut = len(found) < len(known)
    if is_cut and not (found and found[-1] > NEARLY * longest):
        found.append(longest)
    return found


def picture_cost(client: RecordingClient, tile_px: int, rule: TileRule | None) -> int | NoReply:
    """Prompt tokens of a picture of one tile, by the rule, else by an answer of one token."""
    if rule is not None:
        return picture_tokens(tile_px, tile_px, rule)
    text = text_tokens(client, LOOK)
    reply = client.chat(LOOK, (plain_url(tile_px, tile_px),), max_tokens=1).reply
    if isinstance(text, NoReply):
        return text
    if isinstance(reply, NoReply):
        return reply
    return NoReply("no usage", reply.exchange) if reply.usage is None else max(0, reply.usage.prompt - text)


def long_texts(
    client: RecordingClient, length: int, seed: str, tile_px: int, rule: TileRule | None
) -> list[Dialogue] | NoReply:
    """Eight questions in prompts of about `length` tokens; NoReply if the server counts no text."""
    one, many = (text_tokens(client, dialogues.text(Chance(seed), count)) for count in (1, COUNTED))
    seen = picture_cost(client, tile_px, rule)
    if isinstance(one, NoReply):
        return one
    if isinstance(many, NoReply):
        return many
    if isinstance(seen, NoReply):
        return seen
    each = max(1.0, (many - one) / (COUNTED - 1))
    # the sentences of a conversation around a picture take some more
    beside = (one + 3 * each, one + 8 * each + seen)
    counts = [max(2, int((length - beside[is_picture]) / each)) for _, is_picture in HIDDEN]
    return dialogues.draw_long(f"{seed} {length}", tile_px, counts)
