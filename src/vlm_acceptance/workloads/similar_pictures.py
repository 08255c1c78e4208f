"""Similar pictures: those of one question have the same size and the same prompt, so that a mix-up of answers shows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vlm_acceptance.cases.large_pictures import SIMILAR, large_url
from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.checks.contamination import contaminated
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import LongSimilarPictures
from vlm_acceptance.core.capability import Category, Picture, Question
from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.tiles import TileRule

# at one swap in 200 answers, 600 requests hold no swap in one run of twenty; these 784 in one of fifty
ROUNDS = 14
CONCURRENCY = 16
# odd, so that rounds of both orders are large
LARGE_EVERY = 5
# text after the picture: the first block of the prefix cache differs by the picture, the blocks after it are equal
PREAMBLE = "Below is a question about the picture above. Look at the picture with care before you answer it. "
REPEATS = 16


@dataclass(frozen=True, slots=True)
class SimilarPicture:
    """One picture of one question, sent as `url`; `name` is its name in findings."""

    name: str
    category: Category
    question: Question
    picture: Picture
    url: str

    @property
    def group(self) -> str:
        """`category/question`, which it shares with the pictures that are similar to it."""
        return f"{self.category.id}/{self.question.id}"


def all_pictures(categories: Sequence[Category]) -> list[SimilarPicture]:
    """Every picture of every question."""
    return [
        SimilarPicture(f"{category.id}/{picture.path.name}", category, question, picture, png_url(picture.path))
        for category in categories
        for question in category.questions
        for picture in question.pictures
    ]


def large(pictures: Sequence[SimilarPicture], rule: TileRule | None) -> list[SimilarPicture]:
    """The same pictures, each as many tiles, all in one size."""
    return [replace(one, url=large_url(one.picture.path, rule, SIMILAR)) for one in pictures]


def short_body(model: str, one: SimilarPicture) -> dict[str, Any]:
    """The question as the capability test sends it."""
    return chat_body(model, one.question.prompt, (one.url,), max_tokens=one.question.max_tokens)


def long_body(model: str, one: SimilarPicture, wanted: LongSimilarPictures) -> dict[str, Any]:
    """The same question in a prompt longer than two blocks of the prefix cache."""
    prompt = f"{PREAMBLE * REPEATS}\n{one.question.prompt}" if wanted.preamble else one.question.prompt
    pictures = (one.url,) * wanted.copies
    return chat_body(model, prompt, pictures, max_tokens=one.question.max_tokens)


def of_question(pictures: Sequence[SimilarPicture], ident: str | None) -> list[SimilarPicture]:
    """The pictures of one `category/question`; those of the first question for None."""
    group = ident or pictures[0].group
    return [one for one in pictures if one.group == group]


def shuffled(pictures: Sequence[SimilarPicture], seed: int) -> list[SimilarPicture]:
    """All of them in an order that the seed decides."""
    order = list(pictures)
    random.Random(seed).shuffle(order)  # noqa: S311
    return order


def bursts(
    pictures: Sequence[SimilarPicture], rounds: int = ROUNDS, large: Sequence[SimilarPicture] | None = None
) -> Iterator[list[SimilarPicture]]:
    """One burst per round: all pictures shuffled, in every other round grouped by question, so that texts are alike.

    One round of LARGE_EVERY takes the pictures `large`, if there are any.
    """
    for number in range(rounds):
        is_large = large is not None and number % LARGE_EVERY == LARGE_EVERY - 1
        order = shuffled(large if large is not None and is_large else pictures, number)
        yield order if number % 2 == 0 else sorted(order, key=lambda one: one.group)


def mixed_up(sent: Sequence[SimilarPicture], exchanges: Sequence[Exchange]) -> list[Finding]:
    """Fatal findings for every answer that belongs to another picture, and for every request without an answer."""
    pictures = {one.name: one.picture for one in sent}
    return contaminated([one.name for one in sent], [exchange.reply for exchange in exchanges], pictures)


def prompt_tokens_of(exchange: Exchange) -> int | None:
    """Prompt tokens as the answer reports them; None without an answer or without usage."""
    reply = exchange.reply
    return None if isinstance(reply, NoReply) or reply.usage is None else reply.usage.prompt


def first_right(client: RecordingClient, question: Question, special_tokens: Sequence[str]) -> Picture | None:
    """The first picture of a question with a right answer; None when all answers are wrong."""
    for picture in question.pictures:
        reply = client.chat(question.prompt, (png_url(picture.path),), max_tokens=question.max_tokens).reply
        if not isinstance(reply, NoReply) and not judge_picture(question, picture, reply, special_tokens):
            return picture
    return None
