"""Faults of whole conversations and long prompts: every token is counted, but the model does not attend to it.

They strike requests of more than one token: those that only count tokens show nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fault_stages import CHAT, Call, Dose, Rewriter, Stages, rewrites_text
from faults_conversation import Message, is_picture, system_messages, with_parts, without_pictures

Edit = Callable[[list[Message]], list[Message]]
# characters of a text that make it a long one
LONG = 600


def _messages(call: Call) -> list[Message]:
    """The messages of a chat request of more than one token; none otherwise."""
    body = call.json() if call.route == CHAT else None
    messages = (body or {}).get("messages")
    if body is None or body.get("max_tokens") == 1 or not isinstance(messages, list):
        return []
    return messages if all(isinstance(message, dict) for message in messages) else []


def _edits(edit: Edit) -> Stages:
    def request(call: Call) -> Call:
        messages = _messages(call)
        return call.with_json({**(call.json() or {}), "messages": edit(messages)}) if messages else call

    return Stages(request=request)


def history_unattended(dose: Dose) -> Stages:
    return _edits(lambda messages: [*system_messages(messages), messages[-1]])


def system_unattended(dose: Dose) -> Stages:
    return _edits(lambda messages: [one for one in messages if one.get("role") != "system"] or messages)


def _parts(message: Message) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in _parts(message) if isinstance(part, dict))


def _is_long(messages: list[Message]) -> bool:
    return sum(len(_text(message)) for message in messages) > LONG


def _edits_long(keep: Callable[[str], str]) -> Stages:
    """Change the long text of the last message."""

    def edit(messages: list[Message]) -> list[Message]:
        last = messages[-1]
        if len(_text(last)) <= LONG:
            return messages
        if isinstance(last.get("content"), str):
            return [*messages[:-1], {**last, "content": keep(last["content"])}]

        def each(parts: list[Any]) -> list[Any]:
            return [part if is_picture(part) else {**part, "text": keep(part["text"])} for part in parts]

        return [*messages[:-1], with_parts(last, each)]

    return _edits(edit)


def long_beginning_unattended(dose: Dose) -> Stages:
    """This share of a long text is lost at its beginning, as by a window that slides."""
    return _edits_long(lambda text: text[int(dose.magnitude * len(text)) :])


def long_middle_unattended(dose: Dose) -> Stages:
    """This share of a long text is lost in its middle."""

    def keep(text: str) -> str:
        half = int((1 - dose.magnitude) / 2 * len(text))
        return text[:half] + text[len(text) - half :]

    return _edits_long(keep)


def long_picture_unattended(dose: Dose) -> Stages:
    """Pictures beside long texts are not seen; and so passwords are all that is found."""
    return _edits(lambda messages: [*map(without_pictures, messages)] if _is_long(messages) else messages)


def long_garbage(dose: Dose) -> Stages:
    """Answers to long prompts are one character again and again, as from a cache in the wrong precision."""

    def rewriter(call: Call) -> Rewriter:
        is_long = _is_long(_messages(call))
        return lambda text, _is_last: "!" * len(text) if is_long else text

    return rewrites_text(rewriter)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("history-unattended", "answers as if to the last message alone; tokens are counted", 1, history_unattended),
    ("system-unattended", "answers as if without the system message; tokens are counted", 1, system_unattended),
    (
        "long-beginning-unattended",
        "this share of a long text is not attended to, at its beginning",
        0.3,
        long_beginning_unattended,
    ),
    (
        "long-middle-unattended",
        "this share of a long text is not attended to, in its middle",
        0.5,
        long_middle_unattended,
    ),
    ("long-picture-unattended", "pictures beside long texts are not seen", 1, long_picture_unattended),
    ("long-garbage", "answers to long prompts are one character, repeated", 1, long_garbage),
)
