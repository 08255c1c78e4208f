"""An answer that was planted in another picture is found; a wrong one that was planted nowhere is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.checks.contamination import contaminated, prompt_ignored
from vlm_acceptance.core.capability import Picture
from vlm_acceptance.core.exchange import NoReply, Reply


def picture(*words: str, shows: tuple[str, ...] = ()) -> Picture:
    return Picture(Path("x.png"), tuple((word,) for word in words), frozenset({*words, *shows}))


PICTURES = {
    "sign-1": picture("RIVER", "472"),
    "sign-2": picture("GARDEN", "815"),
    "card-1": picture("LION", shows=("EAGLE",)),
    "card-4": picture("EAGLE", shows=("CAMEL",)),
    "zh-1": picture("医院", "36"),
    "zh-2": picture("学校", "52"),
    "plum-2": picture("52"),
}


def reply(text: str) -> Reply:
    return Reply(text, "stop", None, "m", 0.1)


def seen(name: str, text: str) -> list[str]:
    return [found.observed.partition(":")[0] for found in contaminated([name], [reply(text)], PICTURES)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sign-1", "The sign says RIVER 472."),
        ("sign-1", "The sign says RIVER 815."),  # half of another one is a mistake
        ("sign-1", "The sign says RIVER 471, near GARDEN street 815."),  # who reads half of it has seen it
        ("sign-1", "I cannot read it."),
        ("card-1", "Eagle"),  # it is on this card, too
        ("card-4", "Eagle, not Lion"),
        ("zh-2", "牌子上写的是学校 52。"),
    ],
)
def test_own_answers_and_mere_mistakes_have_no_finding(name: str, text: str) -> None:
    assert seen(name, text) == []


@pytest.mark.parametrize(
    ("name", "text", "owner"),
    [
        ("sign-1", "The sign says GARDEN 815.", "sign-2"),
        ("sign-1", "Lion", "card-1"),
        ("card-4", "lion", "card-1"),
        ("zh-1", "牌子上写的是学校 52。", "zh-2"),
        ("sign-2", "52", "plum-2"),
    ],
)
def test_the_answer_of_another_picture_is_fatal(name: str, text: str, owner: str) -> None:
    assert seen(name, text) == [f"the answer planted in {owner}"]
    (found,) = contaminated([name], [reply(text)], PICTURES)
    assert found.fatal and found.where == name


def test_a_request_without_an_answer_is_fatal() -> None:
    (found,) = contaminated(["sign-1"], [NoReply("reset: gone")], PICTURES)
    assert (found.check, found.fatal) == ("pictures.missing", True)


def test_every_answer_is_judged_by_its_own_name() -> None:
    texts = [reply("GARDEN 815"), reply("RIVER 472")]
    assert contaminated(["sign-2", "sign-1"], texts, PICTURES) == []
    assert [found.where for found in contaminated(["sign-1", "sign-2"], texts, PICTURES)] == ["sign-1", "sign-2"]


def test_a_prompt_that_changes_no_answer_is_found() -> None:
    first, second = reply("RIVER 472"), reply("GARDEN 815")
    (found,) = prompt_ignored([(first, first), (second, second)])
    assert found.fatal
    assert prompt_ignored([(first, first), (second, reply("white"))]) == []
    assert prompt_ignored([]) == []
