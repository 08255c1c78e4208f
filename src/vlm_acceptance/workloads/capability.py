"""The capability examination: which requests a category and a route mean, online and offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vlm_acceptance.cases.pictures import jpeg_url, png_url
from vlm_acceptance.checks.answer import judge_picture, judge_question
from vlm_acceptance.checks.latency import LatencyRow, Sample, flows, median_of
from vlm_acceptance.client.chat import chat_body, get, plain_url, user_message
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Category, Picture, Question
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import PARAMS, TOP, LogProbPrompt

PICTURE_PX = 448
LOOK_S = 5.0
TOGETHER = 16  # prompts asked alone and in one batch, and of the offline engine
T = TypeVar("T")


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
    """One greedy request a picture, all with the question's prompt."""
    return [chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens) for url in urls]


def blind_bodies(model: str, question: Question) -> list[dict[str, Any]]:
    """The same question about a grey picture of the same size, and about none."""
    grey = plain_url(PICTURE_PX, PICTURE_PX)
    return [chat_body(model, question.prompt, pictures, max_tokens=question.max_tokens) for pictures in ((grey,), ())]


def planted(categories: Sequence[Category], images: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Every prompt with the name of a picture that holds its answer, as prompts for numbers name them."""
    return {
        (question.prompt, (picture.path.relative_to(images).as_posix(),))
        for category in categories
        for question in (*category.questions, category.translated)
        for picture in question.pictures
    }


def require_question(categories: Sequence[Category], ident: str | None) -> None:
    """UsageProblem when the profile names a question for long twins that none is."""
    known = [f"{category.id}/{question.id}" for category in categories for question in category.questions]
    if ident is not None and ident not in known:
        raise UsageProblem(
            f"capability.long_similar_pictures.question: {ident!r} is no question; there are: {', '.join(known)}."
            f"{nearest(ident, known)}"
        )


def picture_name(question: Question, index: int) -> str:
    """How findings name a picture: question and number, from 1."""
    return f"{question.id}-{index + 1}"


def offline_requests(categories: Sequence[Category]) -> list[Mapping[str, Any]]:
    """Every question and picture as the offline worker takes them."""
    return [
        {
            "id": f"{category.id}/{picture_name(question, index)}",
            "messages": [user_message(question.prompt, (png_url(picture.path),))],
            "max_tokens": question.max_tokens,
        }
        for category in categories
        for question in category.questions
        for index, picture in enumerate(question.pictures)
    ]


def offline_ids(category: Category, question: Question) -> list[str]:
    """The ids under which the offline engine answers a question, in the order of its pictures."""
    return [f"{category.id}/{picture_name(question, index)}" for index in range(len(question.pictures))]


def spread(rows: Sequence[T], count: int) -> list[T]:
    """At most `count` of the rows, evenly spread, the first among them."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


def number_body(model: str, asked: LogProbPrompt, images: Path) -> dict[str, Any]:
    """A greedy request for an answer with its log probabilities."""
    urls = [png_url(images / name) for name in asked.pictures]
    body = chat_body(model, asked.prompt, urls, max_tokens=asked.max_tokens, **PARAMS)
    if asked.system:
        body["messages"].insert(0, {"role": "system", "content": asked.system})
    return body


def offline_number_requests(prompts: Sequence[LogProbPrompt], images: Path) -> list[Mapping[str, Any]]:
    """Some prompts as the offline worker takes them, with log probabilities."""
    return [
        {
            "id": f"numbers/{asked.id}",
            "messages": number_body("", asked, images)["messages"],
            "sampling": {"max_tokens": asked.max_tokens, "logprobs": TOP},
        }
        for asked in spread(prompts, TOGETHER)
    ]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a question came to: findings, empty when it stands, and the figures to report."""

    findings: list[Finding]
    figures: dict[str, str]


def judged(profile: Profile, category: Category, question: Question, replies: Sequence[Reply | NoReply]) -> Judged:
    """FindingCollector one question by the profile's bar; of a demoted category only what is fatal is refused."""
    tokens = profile.model.special_tokens
    found = judge_question(question, replies, profile.capability.min_correct, tokens)
    right = sum(
        not isinstance(reply, NoReply) and not judge_picture(question, picture, reply, tokens)
        for picture, reply in zip(question.pictures, replies, strict=True)
    )
    completion = [reply.usage.completion for reply in replies if isinstance(reply, Reply) and reply.usage]
    figures = {
        f"{question.id}_right": f"{right} of {len(replies)}",
        f"{question.id}_tokens": str(sum(completion)) if completion else "no data",
    }
    if category.id in profile.capability.report_only:
        found = [finding for finding in found if finding.fatal]
    return Judged(found, figures)


def with_blind_limit(profile: Profile, question: Question) -> Question:
    """The question with the profile's limit of planted answers a blind answer may hold."""
    limit = profile.capability.blind_max
    return question if limit is None else replace(question, blind_max=limit)


def picture_unreachable(url: str) -> str:
    """Why this machine cannot fetch a public picture, or ''."""
    parts = urlsplit(url)
    exchange = Client(f"{parts.scheme}://{parts.netloc}").send(get(parts.path or "/", LOOK_S))
    if exchange.error is not None:
        return exchange.error.kind
    return "" if exchange.status == 200 else f"HTTP {exchange.status}"


def latency_row(cold: Sample, warm: Sequence[Sample]) -> LatencyRow:
    """The row of one category."""
    medians = median_of(warm)
    ttft, tpot, e2e = (medians[name].median_s for name in ("ttft_s", "tpot_s", "e2e_s"))
    return LatencyRow(len(warm), ttft, tpot, e2e, cold.ttft_s, cold.e2e_s, warm[-1].tokens)


@dataclass(frozen=True, slots=True)
class Flow:
    """Whether streamed text flows: the last exchange looked at, what is wrong, and the figures to report."""

    exchange: Exchange
    findings: list[Finding]
    figures: dict[str, str]


def first_sound(attempt: Callable[[], tuple[list[Finding], Exchange]], tries: int) -> tuple[list[Finding], Exchange]:
    """The first attempt without findings, else the last of `tries`."""
    for _ in range(tries):
        found, exchange = attempt()
        if not found:
            break
    return found, exchange


def until_one_flows(client: RecordingClient, body: dict[str, Any], tries: int) -> Flow:
    """Ask until the text of one answer flows, at most `tries` times.

    A busy machine may starve a process for a second or two, so that one answer arrives in a burst; a server that
    does not stream holds back every one.
    """
    for number in range(1, tries + 1):
        exchange = client.body(body)
        reply = exchange.reply
        if isinstance(reply, NoReply):
            return Flow(exchange, [Finding(kinds.LATENCY_NO_ANSWER, "a streamed answer", str(reply))], {})
        found = flows(reply)
        first = "no data" if reply.ttft_s is None else f"{reply.ttft_s:.3f}"
        figures = {"first_text_s": first, "whole_s": f"{reply.elapsed_s:.3f}", "tries": str(number)}
        if not found:
            break
    return Flow(exchange, found, figures)
