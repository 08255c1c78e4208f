"""Requests about whole conversations and long texts: lengths that fit, and messages as the API takes them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from vlm_acceptance.cases.dialogues import HIDDEN, draw
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.workloads import dialogues

USUAL = [1024, 4096, 16384, 32768]


@pytest.mark.parametrize(
    ("room", "sent"),
    [
        (4096, [1024, 3584]),
        (32768, [1024, 4096, 16384, 28672]),
        (131072, USUAL),
        (1024, [896]),
        (1200, [1024]),
        (8192, [1024, 4096, 7168]),
        (None, USUAL),
    ],
)
def test_lengths_fit_into_the_context(room: int | None, sent: list[int]) -> None:
    assert dialogues.lengths(USUAL, room) == sent


def test_lengths_go_from_short_to_long() -> None:
    assert dialogues.lengths([8192, 1024, 1024], 4096) == [1024, 3584]


def test_without_lengths_nothing_is_sent() -> None:
    assert dialogues.lengths([], 4096) == []


def test_half_of_the_requests_are_streamed_and_all_are_greedy() -> None:
    bodies = dialogues.bodies("m", draw(3, 112))
    assert [body.get("stream", False) for body in bodies] == [False, True] * 4
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.0, 64)}


def test_pictures_stand_before_the_text_of_their_message() -> None:
    first = dialogues.messages(draw(3, 112)[2])
    assert [message["role"] for message in first] == ["user", "assistant"] * 2 + ["user"]
    assert [part["type"] for part in first[0]["content"]] == ["image_url", "text"]
    assert isinstance(first[-1]["content"], str)


def test_texts_have_about_the_wanted_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogues, "text_tokens", lambda _, text: 10 + len(text.split()) * 2)
    monkeypatch.setattr(dialogues, "picture_cost", lambda *_: 100)
    drawn = dialogues.long_texts(cast("Any", None), 1000, "seed", 112, None)
    assert not isinstance(drawn, NoReply)
    assert len(drawn) == len(HIDDEN)
    for one in drawn:
        words = sum(len(line.text.split()) for line in one.lines)
        assert 850 <= 2 * words + 100 * len(one.shown) <= 1000


def test_a_server_that_counts_no_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogues, "text_tokens", lambda _, __: NoReply("no usage"))
    monkeypatch.setattr(dialogues, "picture_cost", lambda *_: 100)
    assert isinstance(dialogues.long_texts(cast("Any", None), 1000, "seed", 112, None), NoReply)
