"""The faults of conversations change what they promise, and leave single questions alone."""

from __future__ import annotations

from typing import Any

import pytest
from fault_stages import CHAT, Call, Dose
from faults import FAULTS

from vlm_acceptance.client.chat import plain_url

SYSTEM, LAST = {"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "l"}]}
PICTURE = {"type": "image_url", "image_url": {"url": plain_url(200, 100)}}
SEEN = {"role": "user", "content": [PICTURE, {"type": "text", "text": "q1"}]}
ROUNDS = [SEEN, {"role": "assistant", "content": "a1"}, {"role": "user", "content": "q2"}]
TALK = [SYSTEM, *ROUNDS, {"role": "assistant", "content": "a2"}, LAST]


def got(fault: str, messages: list[Any], route: str = CHAT, **fields: Any) -> list[Any]:
    row = FAULTS[fault]
    call = Call(0, "POST", route, {}).with_json({"messages": messages, **fields})
    body = row.apply(Dose(row.magnitude)).request(call).json()
    assert body is not None
    changed: list[Any] = body["messages"]
    return changed


def said(messages: list[Any]) -> list[str]:
    """Role and texts of each message, with + for each picture."""
    found = []
    for message in messages:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        found.append(message["role"][0] + ":" + "".join(part.get("text", "+") for part in parts))
    return found


WHOLE = ["s:s", "u:+q1", "a:a1", "u:q2", "a:a2", "u:l"]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("history-lost", ["s:s", "u:l"]),
        ("history-cut", WHOLE),
        ("answers-lost", ["s:s", "u:+q1", "u:q2", "u:l"]),
        ("question-repeated", ["s:s", "u:+q1", "u:+q1", "a:a1", "u:q2", "a:a2", "u:l"]),
        ("system-lost", WHOLE[1:]),
        ("turns-swapped", ["s:s", "u:q2", "a:a2", "u:+q1", "a:a1", "u:l"]),
        ("roles-swapped", ["s:s", "u:+q1", "u:a1", "u:q2", "u:a2", "u:l"]),
        ("earlier-picture-lost", ["s:s", "u:q1", *WHOLE[2:]]),
        ("earlier-picture-squared", WHOLE),
        ("pictures-moved", ["s:s", "u:q1", *WHOLE[2:5], "u:+l"]),
    ],
)
def test_the_conversation_is_changed(fault: str, seen: list[str]) -> None:
    assert said(got(fault, TALK)) == seen
    assert got(fault, [SEEN]) == [SEEN]


def test_a_streamed_history_alone_is_lost() -> None:
    assert got("history-lost-streamed", TALK) == TALK
    assert said(got("history-lost-streamed", TALK, stream=True)) == ["s:s", "u:l"]


def test_a_long_history_is_cut() -> None:
    assert len(got("history-cut", [SYSTEM, *ROUNDS[1:3] * 5, LAST])) == 7


def test_the_second_text_of_a_message_is_lost() -> None:
    texts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert got("second-text-lost", [SYSTEM, {"role": "user", "content": texts}])[1]["content"] == texts[:1]


@pytest.mark.parametrize("fault", ["turns-swapped", "roles-swapped", "earlier-picture-squared", "pictures-moved"])
def test_what_has_as_many_tokens_is_changed_in_the_count_too(fault: str) -> None:
    assert got(fault, TALK, "/tokenize") != TALK
    assert got("history-lost", TALK, "/tokenize") == TALK
