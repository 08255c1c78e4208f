"""Twins: the capability pictures of one question, alike in size and prompt, asked so that a mix-up would show."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.checks.contamination import contaminated
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import LongSimilarPictures
from vlm_acceptance.core.capability import Category, Picture, Question
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding

# at one swap in 200 answers, 600 requests hold none at all in one run of twenty; these 784 in one of fifty
ROUNDS = 14
CONCURRENCY = 16
# after the picture: what differs must stand in the first block of the cache, what is alike in all that follow
PREAMBLE = "Below is a question about the picture above. Look at the picture with care before you answer it. "
REPEATS = 16


@dataclass(frozen=True, slots=True)
class Twin:
    """One picture of one question; `name` is how findings call it."""

    name: str
    category: Category
    question: Question
    picture: Picture

    @property
    def group(self) -> str:
        """What it shares with its twins: `category/question`."""
        return f"{self.category.id}/{self.question.id}"


def all_twins(categories: Sequence[Category]) -> list[Twin]:
    """Every picture of every question."""
    return [
        Twin(f"{category.id}/{picture.path.name}", category, question, picture)
        for category in categories
        for question in category.questions
        for picture in question.pictures
    ]


def short_body(model: str, twin: Twin) -> dict[str, Any]:
    """The question as the capability test asks it."""
    return chat_body(model, twin.question.prompt, (png_url(twin.picture.path),), max_tokens=twin.question.max_tokens)


def long_body(model: str, twin: Twin, wanted: LongSimilarPictures) -> dict[str, Any]:
    """The same question in a prompt longer than two blocks of the prefix cache."""
    prompt = f"{PREAMBLE * REPEATS}\n{twin.question.prompt}" if wanted.preamble else twin.question.prompt
    pictures = (png_url(twin.picture.path),) * wanted.copies
    return chat_body(model, prompt, pictures, max_tokens=twin.question.max_tokens)


def of_question(twins: Sequence[Twin], ident: str | None) -> list[Twin]:
    """The twins of one `category/question`, of the first one when none is named."""
    wanted = ident or twins[0].group
    return [twin for twin in twins if twin.group == wanted]


def shuffled(twins: Sequence[Twin], seed: int) -> list[Twin]:
    """All of them in an order that the seed decides."""
    order = list(twins)
    random.Random(seed).shuffle(order)  # noqa: S311
    return order


def hunt(twins: Sequence[Twin], rounds: int = ROUNDS) -> Iterator[list[Twin]]:
    """One burst a round: all twins mixed, and in every other round question by question, so that texts are alike."""
    for number in range(rounds):
        order = shuffled(twins, number)
        yield order if number % 2 == 0 else sorted(order, key=lambda twin: twin.group)


def mixed_up(asked: Sequence[Twin], exchanges: Sequence[Exchange]) -> list[Finding]:
    """Fatal for every answer that was planted in another picture, and for every request without an answer."""
    pictures = {twin.name: twin.picture for twin in asked}
    return contaminated([twin.name for twin in asked], [exchange.reply for exchange in exchanges], pictures)


def prompt_tokens_of(exchange: Exchange) -> int | None:
    """Prompt tokens as the answer reports them; None without an answer or without usage."""
    reply = exchange.reply
    return None if isinstance(reply, NoReply) or reply.usage is None else reply.usage.prompt


def first_read(client: RecordingClient, question: Question, special_tokens: Sequence[str]) -> Picture | None:
    """The first picture of a question that is answered rightly as it is; None when none is."""
    for picture in question.pictures:
        asked = client.chat(question.prompt, (png_url(picture.path),), max_tokens=question.max_tokens)
        reply = asked.reply
        if not isinstance(reply, NoReply) and not judge_picture(question, picture, reply, special_tokens):
            return picture
    return None
