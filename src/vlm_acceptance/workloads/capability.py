"""Capability categories: their requests by each route, to the server and to the offline engine, and the judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlm_acceptance.cases.large_pictures import own_urls
from vlm_acceptance.cases.pictures import jpeg_url, png_url
from vlm_acceptance.checks.answer import judge_picture, judge_question
from vlm_acceptance.checks.bars import bar
from vlm_acceptance.client.chat import chat_body, plain_url, user_message
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.capability import Category, Picture, Question
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.tiles import TileRule

PICTURE_PX = 448
LARGE = "-large"


def picture_url(picture: Picture, route: str, images: Path, served_at: str | None) -> str:
    """The picture as the route sends it: PNG or JPEG as data, or the URL under which the file is served."""
    if route == "png":
        return png_url(picture.path)
    if route == "jpeg":
        return jpeg_url(picture.path)
    if served_at is None:
        raise ValueError("the url route needs a picture server")
    return f"{served_at}/{picture.path.relative_to(images).as_posix()}"


def bodies(model: str, question: Question, urls: Sequence[str]) -> list[dict[str, Any]]:
    """One greedy request per picture, all with the question's prompt."""
    return [chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens) for url in urls]


def blind_bodies(model: str, question: Question) -> list[dict[str, Any]]:
    """The same question with a grey picture of the same size, and without a picture."""
    grey = plain_url(PICTURE_PX, PICTURE_PX)
    return [chat_body(model, question.prompt, pictures, max_tokens=question.max_tokens) for pictures in ((grey,), ())]


def planted(categories: Sequence[Category], images: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Every prompt with the name of a picture that shows its answer; names as in `LogProbPrompt.pictures`."""
    return {
        (question.prompt, (picture.path.relative_to(images).as_posix(),))
        for category in categories
        for question in (*category.questions, category.translated)
        for picture in question.pictures
    }


def require_question(categories: Sequence[Category], ident: str | None) -> None:
    """UsageProblem when the question that the profile names for long similar pictures does not exist."""
    known = [f"{category.id}/{question.id}" for category in categories for question in category.questions]
    if ident is not None and ident not in known:
        key, listed = "capability.long_similar_pictures.question", ", ".join(known)
        raise UsageProblem(f"{key}: {ident!r} does not exist; there are: {listed}.{nearest(ident, known)}")


def offline_ids(category: Category, question: Question, form: str = "") -> list[str]:
    """The ids of a question's pictures in the requests to the offline engine; `form` is LARGE for many tiles."""
    return [f"{category.id}/{question.id}{form}-{number}" for number, _ in enumerate(question.pictures, 1)]


def offline_requests(categories: Sequence[Category]) -> list[Mapping[str, Any]]:
    """Every question and picture as requests to the offline engine."""
    return [
        _offline_request(ident, question, png_url(picture.path))
        for category in categories
        for question in category.questions
        for ident, picture in zip(offline_ids(category, question), question.pictures, strict=True)
    ]


def offline_large_requests(categories: Sequence[Category], rule: TileRule | None) -> list[Mapping[str, Any]]:
    """The first question of the first category with its pictures in many tiles."""
    category, question = categories[0], categories[0].questions[0]
    named = zip(offline_ids(category, question, LARGE), own_urls(question, rule), strict=True)
    return [_offline_request(ident, question, url) for ident, url in named]


def _offline_request(ident: str, question: Question, url: str) -> Mapping[str, Any]:
    return {"id": ident, "messages": [user_message(question.prompt, (url,))], "max_tokens": question.max_tokens}


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of a question: its findings, the figures to report, its key, and the number of right answers.

    `wrong` has what is wrong with each answer, in the order of the pictures; nothing where there is no answer.
    """

    findings: list[Finding]
    figures: dict[str, str]
    key: str
    right: int
    wrong: list[list[Finding]]


def judged(
    profile: Profile,
    category: Category,
    question: Question,
    replies: Sequence[Reply | NoReply],
    *,
    is_large: bool = False,
) -> Judged:
    """Judge a question by the profile's bar; a category that is only reported keeps its fatal findings alone."""
    tokens = profile.model.special_tokens
    key = key_of(category, question, is_large=is_large)
    is_translated = question == category.translated
    found = judge_question(question, replies, bar_of(profile, key), tokens, is_translated=is_translated)
    wrong = [
        [] if isinstance(reply, NoReply) else judge_picture(question, picture, reply, tokens)
        for picture, reply in zip(question.pictures, replies, strict=True)
    ]
    right = sum(isinstance(reply, Reply) and not one for reply, one in zip(replies, wrong, strict=True))
    completion = [reply.usage.completion for reply in replies if isinstance(reply, Reply) and reply.usage]
    figures = {
        f"{question.id}_right": f"{right} of {len(replies)}",
        f"{question.id}_tokens": str(sum(completion)) if completion else "no data",
    }
    if category.id in profile.capability.report_only:
        found = [finding for finding in found if finding.fatal]
    return Judged(found, figures, key, right, wrong)


def key_of(category: Category, question: Question, *, is_large: bool = False) -> str:
    """The name of a question in `capability.recorded`; pictures of many tiles have counts of their own."""
    return f"{category.id}/{question.id}{'-large' if is_large else ''}"


def offline_key_of(category: Category, question: Question) -> str:
    """The name in `capability.recorded` of the offline answers to a question that agree with the served ones."""
    return f"{key_of(category, question)}-offline"


def bar_of(profile: Profile, key: str, counted: Mapping[str, int] | None = None) -> int:
    """The least number of right answers of a question; `counted` are the right answers of this run.

    They count in place of recorded ones until the profile is calibrated.
    """
    wanted = profile.capability
    seen = wanted.recorded if wanted.calibrated or counted is None else counted
    return bar(wanted.min_correct, seen.get(key))


def load_bar(profile: Profile, categories: Sequence[Category], counted: Mapping[str, int]) -> int:
    """The bar of a question under load, on average over all questions: whatever is asked alone is asked there, too."""
    bars = [bar_of(profile, key_of(category, one), counted) for category in categories for one in category.questions]
    return sum(bars) // len(bars)


def with_blind_limit(profile: Profile, question: Question) -> Question:
    """The question with the profile's limit of planted answers in answers without the picture."""
    limit = profile.capability.blind_max
    return question if limit is None else replace(question, blind_max=limit)
