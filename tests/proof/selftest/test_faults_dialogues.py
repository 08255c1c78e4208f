"""The faults of whole conversations and long prompts change what they promise, but not requests of one token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fault_stages import CHAT, Call, Dose, Response, Stages
from faults import FAULTS
from faults_dialogues import LONG, ROWS

PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
SYSTEM = {"role": "system", "content": "s"}
SEEN = {"role": "user", "content": [PICTURE, {"type": "text", "text": "look"}]}
TALK = [SYSTEM, SEEN, {"role": "assistant", "content": "a"}, {"role": "user", "content": "q"}]
TEXT = " ".join(f"{number:04d}" for number in range(LONG))
HIDDEN = [SEEN, {"role": "assistant", "content": "a"}, {"role": "user", "content": TEXT}]


def stages(name: str) -> Stages:
    row = FAULTS[name]
    return row.apply(Dose(row.magnitude))


def call(messages: list[Any], **fields: Any) -> Call:
    return Call(0, "POST", CHAT, {}).with_json({"messages": messages, "max_tokens": 64, **fields})


def got(name: str, messages: list[Any], **fields: Any) -> list[Any]:
    body = stages(name).request(call(messages, **fields)).json()
    assert body is not None
    changed: list[Any] = body["messages"]
    return changed


@pytest.mark.parametrize(
    ("name", "kept"),
    [("history-unattended", [TALK[0], TALK[-1]]), ("system-unattended", TALK[1:])],
)
def test_a_part_of_the_conversation_is_not_attended_to(name: str, kept: list[Any]) -> None:
    assert got(name, TALK) == kept
    assert got(name, TALK, max_tokens=1) == TALK
    assert got(name, [TALK[-1]]) == [TALK[-1]]


@pytest.mark.parametrize(
    ("name", "lost", "kept"),
    [("long-beginning-unattended", "0000", 0.7), ("long-middle-unattended", f"{LONG // 2:04d}", 0.5)],
)
def test_a_share_of_a_long_text_is_lost(name: str, lost: str, kept: float) -> None:
    changed = got(name, HIDDEN)
    assert changed[:-1] == HIDDEN[:-1]
    text = changed[-1]["content"]
    assert lost not in text
    assert len(text) == pytest.approx(kept * len(TEXT), rel=0.01)
    assert text.endswith(TEXT[-4:])
    assert got(name, TALK) == TALK


def test_a_long_text_beside_a_picture_is_cut_and_the_picture_is_kept() -> None:
    message = {"role": "user", "content": [PICTURE, {"type": "text", "text": TEXT}]}
    (changed,) = got("long-beginning-unattended", [message])
    assert changed["content"][0] == PICTURE
    assert len(changed["content"][1]["text"]) < len(TEXT)


def test_pictures_beside_long_texts_are_not_seen() -> None:
    changed = got("long-picture-unattended", HIDDEN)
    assert changed[0]["content"] == [{"type": "text", "text": "look"}]
    assert got("long-picture-unattended", TALK) == TALK


def test_only_answers_to_long_prompts_are_garbage() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "red 7"}, "finish_reason": "stop"}
    answer = Response(200, {}, json.dumps({"object": "chat.completion", "choices": [choice]}).encode())

    def text(messages: list[Any]) -> str:
        body = json.loads(stages("long-garbage").response(call(messages), answer).body)
        return str(body["choices"][0]["message"]["content"])

    assert text(TALK) == "red 7"
    assert text(HIDDEN) == "!!!!!"


def test_every_fault_of_this_family_is_seen_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [row[0] for row in ROWS if f'"{row[0]}"' not in source] == []
