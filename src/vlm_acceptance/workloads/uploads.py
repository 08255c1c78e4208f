"""Requests with the picture files that clients upload, and with pictures between texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vlm_acceptance.cases.challenge_pictures import Drawn, questions
from vlm_acceptance.cases.picture_kinds import PictureKind
from vlm_acceptance.cases.pictures import data_url, encoded
from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.tiles import TileRule, picture_tokens

# pictures that every kind of file can show
SUBJECTS = 4
MB = 1_000_000
ONE_TILE = (64, 64)
PART = "A picture:"
WHAT = "What is this?"
# widths of the pictures between texts, in tiles
WIDTHS = (2, 1, 3)
# tokens of the texts, with room to spare
BESIDE_PICTURES = 256


@dataclass(frozen=True, slots=True)
class Subject:
    """A picture that was read rightly as a PNG; `tokens` are the prompt tokens of that request."""

    question: Question
    picture: Picture
    image: Image.Image
    tokens: int | None


def signs(question: Question) -> list[tuple[Question, Picture, Image.Image]]:
    """The first pictures of a question."""
    found = []
    for picture in question.pictures[:SUBJECTS]:
        with Image.open(picture.path) as opened:
            found.append((question, picture, opened.convert("RGB")))
    return found


def drawn_subjects(drawn: Sequence[Drawn]) -> list[tuple[Question, Picture, Image.Image]]:
    """New pictures, each with its question."""
    return [(asked, asked.pictures[0], one.image) for asked, one in zip(questions(drawn), drawn, strict=True)]


def read_as_png(
    client: RecordingClient,
    asked: Sequence[tuple[Question, Picture, Image.Image]],
    concurrency: int,
    special_tokens: Sequence[str],
) -> tuple[list[Subject], list[NoReply]]:
    """Those that are read rightly as a PNG, in order; and why the others have no answer, of those that have none."""
    bodies = [body_about(client.model_id, one[0], data_url("image/png", encoded(one[2], "PNG"))) for one in asked]
    found, lost = list[Subject](), list[NoReply]()
    for (question, picture, image), exchange in zip(asked, client.all(bodies, concurrency), strict=True):
        reply = exchange.reply
        if isinstance(reply, NoReply):
            lost.append(reply)
        elif not judge_picture(question, picture, reply, special_tokens):
            found.append(Subject(question, picture, image, reply.usage.prompt if reply.usage else None))
    return found, lost


def body_about(model: str, question: Question, url: str) -> dict[str, Any]:
    """A question about one picture file."""
    return chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens)


def file_body(model: str, kind: PictureKind, subjects: Sequence[Subject], number: int) -> dict[str, Any]:
    """A question about the subject of this number in a kind of file, which may hold the next subject, too."""
    first, second = (subjects[place % len(subjects)] for place in (number, number + 1))
    return body_about(model, first.question, kind.url((first.image, second.image)))


def between_texts(model: str, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """One request of one token with pictures of these sizes, a text before each, and a question."""
    content: list[dict[str, Any]] = []
    for size in sizes:
        content.append({"type": "text", "text": PART})
        content.append({"type": "image_url", "image_url": {"url": plain_url(*size)}})
    content.append({"type": "text", "text": WHAT})
    return {**chat_body(model, "", max_tokens=1), "messages": [{"role": "user", "content": content}]}


def sizes_between(rule: TileRule | None, most: int, room: int | None) -> list[tuple[int, int]]:
    """Sizes of at most `most` pictures of different numbers of tiles that fit into a context of `room` tokens."""
    if rule is None:
        return [ONE_TILE] * most
    left = None if room is None else room - BESIDE_PICTURES
    sizes: list[tuple[int, int]] = []
    for number in range(most):
        size = (WIDTHS[number % len(WIDTHS)] * rule.tile_px, rule.tile_px)
        cost = picture_tokens(*size, rule)
        if left is not None:
            if cost > left:
                break
            left -= cost
        sizes.append(size)
    return sizes
