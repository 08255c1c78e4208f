"""Faults of clients' requests: the engine gets another conversation than the client sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from fault_stages import CHAT, Call, Dose, Stages
from faults_request import squared_part

Message = dict[str, Any]
Edit = Callable[[list[Message]], list[Message]]
TOKENIZE = "/tokenize"


def _edits(edit: Edit, *routes: str, only_streamed: bool = False) -> Stages:
    """Change the messages of each request to these routes; a single question stays as it is."""

    def request(call: Call) -> Call:
        body = call.json() if call.route in routes else None
        messages = (body or {}).get("messages")
        if body is None or not isinstance(messages, list) or len(messages) < 2:
            return call
        if not all(isinstance(message, dict) for message in messages) or (only_streamed and not body.get("stream")):
            return call
        return call.with_json({**body, "messages": edit(messages)})

    return Stages(request=request)


def is_picture(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


def with_parts(message: Message, edit: Callable[[list[Any]], list[Any]]) -> Message:
    content = message.get("content")
    return {**message, "content": edit(content)} if isinstance(content, list) else message


def without_pictures(message: Message) -> Message:
    return with_parts(message, lambda parts: [part for part in parts if not is_picture(part)])


def history_lost(dose: Dose) -> Stages:
    return _edits(lambda messages: [*system_messages(messages), messages[-1]], CHAT)


def history_lost_streamed(dose: Dose) -> Stages:
    return _edits(lambda messages: [*system_messages(messages), messages[-1]], CHAT, only_streamed=True)


def system_messages(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.get("role") == "system"]


def history_cut(dose: Dose) -> Stages:
    def edit(messages: list[Message]) -> list[Message]:
        others = [message for message in messages if message.get("role") != "system"]
        return [*system_messages(messages), *others[-int(dose.magnitude) :]]

    return _edits(edit, CHAT)


def answers_lost(dose: Dose) -> Stages:
    return _edits(lambda messages: [one for one in messages if one.get("role") != "assistant"], CHAT)


def question_repeated(dose: Dose) -> Stages:
    def edit(messages: list[Message]) -> list[Message]:
        first = next((n for n, one in enumerate(messages) if one.get("role") == "user"), 0)
        return [*messages[:first], messages[first], *messages[first:]]

    return _edits(edit, CHAT)


def system_lost(dose: Dose) -> Stages:
    return _edits(lambda messages: [one for one in messages if one.get("role") != "system"], CHAT)


def turns_swapped(dose: Dose) -> Stages:
    """The first two rounds change places, in both routes: their tokens are as many as before."""

    def edit(messages: list[Message]) -> list[Message]:
        start = len(system_messages(messages))
        if len(messages) < start + 5:
            return messages
        first, second = messages[start : start + 2], messages[start + 2 : start + 4]
        return [*messages[:start], *second, *first, *messages[start + 4 :]]

    return _edits(edit, CHAT, TOKENIZE)


def roles_swapped(dose: Dose) -> Stages:
    """Answers of the history arrive as a user's messages, in both routes."""

    def edit(messages: list[Message]) -> list[Message]:
        return [{**one, "role": "user"} if one.get("role") == "assistant" else one for one in messages]

    return _edits(edit, CHAT, TOKENIZE)


def second_text_lost(dose: Dose) -> Stages:
    def first(parts: list[Any]) -> list[Any]:
        texts = itertools.count()
        return [part for part in parts if is_picture(part) or next(texts) == 0]

    return _edits(lambda messages: [with_parts(message, first) for message in messages], CHAT)


def earlier_picture_lost(dose: Dose) -> Stages:
    """Only the pictures of the last message arrive."""
    return _edits(lambda messages: [*map(without_pictures, messages[:-1]), messages[-1]], CHAT)


def earlier_picture_squared(dose: Dose) -> Stages:
    """Pictures of earlier messages become squares of so many pixels, also in /tokenize."""

    def squared(message: Message) -> Message:
        return with_parts(message, lambda parts: [squared_part(part, int(dose.magnitude)) for part in parts])

    return _edits(lambda messages: [*map(squared, messages[:-1]), messages[-1]], CHAT, TOKENIZE)


def pictures_moved(dose: Dose) -> Stages:
    """All pictures come with the last message: as many tokens, in another place; also in /tokenize."""

    def edit(messages: list[Message]) -> list[Message]:
        contents = [one["content"] for one in messages if isinstance(one.get("content"), list)]
        moved = [part for content in contents for part in content if is_picture(part)]
        if not moved:
            return messages
        last = without_pictures(messages[-1])
        texts = last["content"] if isinstance(last["content"], list) else [{"type": "text", "text": last["content"]}]
        return [*map(without_pictures, messages[:-1]), {**last, "content": [*moved, *texts]}]

    return _edits(edit, CHAT, TOKENIZE)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("history-lost", "the engine gets the last message alone, and the system message", 1, history_lost),
    ("history-lost-streamed", "the same, when the answer is streamed", 1, history_lost_streamed),
    ("history-cut", "the engine gets so many of the last messages", 6, history_cut),
    ("answers-lost", "the engine gets no answers of the history", 1, answers_lost),
    ("question-repeated", "the engine gets the first question twice", 1, question_repeated),
    ("system-lost", "the engine gets no system message", 1, system_lost),
    ("turns-swapped", "the first two rounds change places, in /tokenize too", 1, turns_swapped),
    ("roles-swapped", "answers of the history arrive as the user's, in /tokenize too", 1, roles_swapped),
    ("second-text-lost", "the engine gets the first text of each message", 1, second_text_lost),
    ("earlier-picture-lost", "the engine gets the pictures of the last message alone", 1, earlier_picture_lost),
    (
        "earlier-picture-squared",
        "earlier pictures become squares of so many pixels, in /tokenize too",
        100,
        earlier_picture_squared,
    ),
    ("pictures-moved", "all pictures come with the last message, in /tokenize too", 1, pictures_moved),
)
