"""Requests about what no earlier run can have asked: new pictures, new texts, and the same request again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlm_acceptance.cases.challenge_pictures import MAX_TOKENS, WORDS, WORDS_ZH, Drawn
from vlm_acceptance.cases.pictures import data_url, encoded
from vlm_acceptance.checks.challenge import LAYOUTS
from vlm_acceptance.client.chat import chat_body, user_message
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.workloads.load import STREAMED

OFFLINE = "new-picture"
# words of the lines A and B
SHORT_LINE, LONG_LINE = 4, 11
# requests about a cache: with so few of so long answers, all are the same once in a million runs or less
REPEATS = 6
SAMPLED: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "ignore_eos": True, "max_tokens": 64}
STORY = "Tell a long story about {} and {}."


def url_of(drawn: Drawn) -> str:
    """The picture as the data URL of a PNG."""
    return data_url("image/png", encoded(drawn.image, "PNG"))


def bodies(model: str, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """One greedy request for each new picture, every other one streamed."""
    made = [chat_body(model, one.prompt, (url_of(one),), max_tokens=MAX_TOKENS) for one in drawn]
    return [{**body, **STREAMED} if number % 2 else body for number, body in enumerate(made)]


def offline_ids(drawn: Sequence[Drawn]) -> list[str]:
    """The ids of the new pictures in the requests to the offline engine."""
    return [f"{OFFLINE}-{number}" for number, _ in enumerate(drawn, 1)]


def offline_requests(drawn: Sequence[Drawn]) -> list[Mapping[str, Any]]:
    """The new pictures as requests to the offline engine."""
    return [
        {"id": ident, "messages": [user_message(one.prompt, (url_of(one),))], "max_tokens": MAX_TOKENS}
        for ident, one in zip(offline_ids(drawn), drawn, strict=True)
    ]


def texts(chance: Chance) -> dict[str, str]:
    """New texts by layout: lines of random words of two languages and numbers, put together as LAYOUTS says."""
    words = [*map(str.lower, WORDS), *WORDS_ZH]
    lines = {
        name: " ".join([*chance.some(words, count - 1), chance.number(4)])
        for name, count in (("A", SHORT_LINE), ("B", LONG_LINE))
    }
    return {layout: "\n".join(lines[name] for name in layout) for layout in LAYOUTS}


def text_bodies(model: str, chance: Chance) -> dict[str, dict[str, Any]]:
    """A request of one token for each of the new texts, by layout."""
    return {layout: chat_body(model, text, max_tokens=1) for layout, text in texts(chance).items()}


def new_bodies(model: str, chance: Chance, count: int) -> list[dict[str, Any]]:
    """So many greedy requests with different texts."""
    first, *others = chance.some(WORDS, count + 1)
    return [chat_body(model, STORY.format(first, other), max_tokens=1) for other in others]


def sampled_body(model: str, chance: Chance, *pictures: str) -> dict[str, Any]:
    """A request with a new text whose long answer is sampled: the same one twice is most unlikely."""
    return chat_body(model, STORY.format(*chance.some(WORDS, 2)), pictures, **SAMPLED)
