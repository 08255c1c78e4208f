"""Conversations of several turns, and the requests that show whether every part of them reaches the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.cases.challenge_pictures import WORDS
from vlm_acceptance.client.chat import plain_url
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.tiles import TileRule, picture_tokens

Message = dict[str, Any]
# gateways and clients that cut a history keep four to ten messages of it
ROUNDS = 6
WORDS_A_PART, WORDS_MORE = 5, 9
ALONE, ALONE_LONGER, ALONE_SEEN = "a question alone", "a question alone, longer", "a question alone, with a picture"
BASE, BASE_SEEN = "the conversation", "the conversation with pictures of one tile"
GREEDY: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 1}


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a conversation: the message's number, the number of the text in it, and what it is in words."""

    message: int
    text: int
    name: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages whose texts are random words with a number; every text is a list of parts or a string."""

    messages: tuple[Message, ...]
    markers: tuple[str, ...]

    @property
    def parts(self) -> list[Part]:
        """Every text in it, in order."""
        return [
            Part(number, place, _name(message, number, place if isinstance(message["content"], list) else None))
            for number, message in enumerate(self.messages)
            for place, _ in enumerate(_texts(message))
        ]

    def longer(self, part: Part, more: str) -> list[Message]:
        """The messages with this part made longer by `more`."""
        messages = copy.deepcopy(list(self.messages))
        content = messages[part.message]["content"]
        if isinstance(content, str):
            messages[part.message]["content"] = f"{content} {more}"
        else:
            texts = [piece for piece in content if piece["type"] == "text"]
            texts[part.text]["text"] += f" {more}"
        return messages


def _texts(message: Message) -> list[str]:
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [piece["text"] for piece in content if piece["type"] == "text"]


def _name(message: Message, number: int, place: int | None) -> str:
    if message["role"] == "system":
        return "the system message"
    turn = (number + 1) // 2
    what = {"user": f"the user's message of turn {turn}", "assistant": f"the assistant's answer of turn {turn}"}
    return what[message["role"]] + ("" if place is None else f", text {place + 1}")


def drawn(chance: Chance, rounds: int = ROUNDS) -> Conversation:
    """A system message, `rounds` questions with their answers, and a last question of two texts."""
    markers: list[str] = []

    def text() -> str:
        number = chance.number(4)
        while number in markers:
            number = chance.number(4)
        markers.append(number)
        return " ".join([*map(str.lower, chance.some(WORDS, WORDS_A_PART)), number])

    messages = [{"role": "system", "content": text()}]
    for _ in range(rounds):
        messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
    last = [{"type": "text", "text": text()}, {"type": "text", "text": text()}]
    return Conversation((*messages, {"role": "user", "content": last}), tuple(markers))


def more_words(chance: Chance) -> str:
    """The words by which parts are made longer."""
    return " ".join(map(str.lower, chance.some(WORDS, WORDS_MORE)))


def growth_bodies(model: str, conversation: Conversation, more: str) -> dict[str, dict[str, Any]]:
    """Requests by name: the conversation, it with each part longer, and a question alone with and without the words."""
    alone = conversation.messages[1]
    single = Conversation((alone,), ())
    sent: dict[str, Sequence[Message]] = {
        ALONE: single.messages,
        ALONE_LONGER: single.longer(single.parts[0], more),
        BASE: conversation.messages,
        **{part.name: conversation.longer(part, more) for part in conversation.parts},
    }
    return {name: body_of(model, messages) for name, messages in sent.items()}


def body_of(model: str, messages: Sequence[Message], **fields: Any) -> dict[str, Any]:
    """A greedy request of one token."""
    return {"model": model, "messages": list(messages), **GREEDY, **fields}


@dataclass(frozen=True, slots=True)
class PictureTurns:
    """A conversation with a picture, of one colour, in some of its first turns."""

    conversation: Conversation
    colours: tuple[tuple[int, int, int], ...]

    @property
    def names(self) -> list[str]:
        """The picture of each turn, in words."""
        return [f"the picture of turn {turn}" for turn, _ in enumerate(self.colours, 1)]

    @property
    def markers(self) -> list[str]:
        """The number of the question after each picture."""
        return [self.conversation.markers[1 + 2 * turn] for turn, _ in enumerate(self.colours)]

    def messages(self, sizes: Sequence[tuple[int, int] | None]) -> list[Message]:
        """The messages, with a picture of the given size in pixels before the question of each turn, None for none."""
        messages = copy.deepcopy(list(self.conversation.messages))
        for turn, (size, colour) in enumerate(zip(sizes, self.colours, strict=True)):
            if size is not None:
                message = messages[1 + 2 * turn]
                picture = {"type": "image_url", "image_url": {"url": plain_url(*size, colour)}}
                message["content"] = [picture, {"type": "text", "text": message["content"]}]
        return messages

    def cost_bodies(self, model: str, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
        """Requests by name: a question and the conversation without a picture, and with one of this size in a turn."""
        turns = range(len(self.colours))
        none: list[tuple[int, int] | None] = [None for _ in turns]
        alone = self.messages([size, *none[1:]])[1]
        sent = {
            ALONE: [self.conversation.messages[1]],
            ALONE_SEEN: [alone],
            BASE: self.messages(none),
            **{
                name: self.messages([*none[:n], size, *none[n + 1 :]])
                for n, name in zip(turns, self.names, strict=True)
            },
        }
        return {name: body_of(model, messages) for name, messages in sent.items()}

    def tile_bodies(
        self, model: str, small: tuple[int, int], sizes: Sequence[tuple[int, int]]
    ) -> dict[str, dict[str, Any]]:
        """Requests by name: pictures of the size `small` in each turn, and with a larger one in one of them."""
        all_small = [small for _ in self.colours]
        sent = {BASE_SEEN: self.messages(all_small)}
        for turn, (name, size) in enumerate(zip(self.names, sizes, strict=False)):
            sent[name] = self.messages([*all_small[:turn], size, *all_small[turn + 1 :]])
        return {name: body_of(model, messages) for name, messages in sent.items()}


def with_pictures(chance: Chance, turns: int) -> PictureTurns:
    """A conversation with a picture in each of its first `turns` turns, of colours that no other request has."""
    colours = tuple((chance.below(256), chance.below(256), chance.below(256)) for _ in range(turns))
    return PictureTurns(drawn(chance, turns + 1), colours)


def sizes_of_tiles(rule: TileRule, turns: int) -> list[tuple[int, int]]:
    """A size in pixels for each turn, of as many tiles as no other one has, none of one tile; as far as there are."""
    sizes = [(rule.tile_px * count, rule.tile_px) for count in range(2, rule.max_tiles + 1)]
    one = picture_tokens(rule.tile_px, rule.tile_px, rule)
    return [size for size in sizes if picture_tokens(*size, rule) != one][:turns]
