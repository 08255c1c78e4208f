"""Does it see, read, reason, and read Chinese? Five categories, each with one prompt about eight pictures."""

from urllib.parse import urlsplit

import pytest

from vlm_acceptance.cases.pictures import png_url, size_of_file
from vlm_acceptance.checks import answer, completion, golden_answers, pictures
from vlm_acceptance.client.chat import chat_body, get, plain_url
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import NoReply, Request
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.workloads import capability

pytestmark = pytest.mark.smoke

LOOK_S = 5.0
GUIDE_PROMPT = "What is the text in the illustration?"
SIZES = ((64, 64), (448, 448), (896, 448), (448, 896), (600, 200))


def test_category(client, findings, profile, category, route, judge, request):
    """Each category MUST get enough right answers about its eight pictures, without a fatal finding."""
    served_at = request.getfixturevalue("picture_server") if route == "url" else None
    findings.judges(category.id)
    findings.note(route=route)
    for question in category.questions:
        urls = [capability.picture_url(picture, route, IMAGES, served_at) for picture in question.pictures]
        exchanges = client.all(capability.bodies(client.model_id, question, urls), profile.capability.concurrency)
        judge(category, question, [exchange.reply for exchange in exchanges])


def test_translated_question(client, findings, profile, category, judge):
    """The translated question of a category MUST reach the same bar, without a fatal finding."""
    findings.judges(category.id)
    findings.note(language=category.translated.language)
    urls = [png_url(picture.path) for picture in category.translated.pictures]
    bodies = capability.bodies(client.model_id, category.translated, urls)
    exchanges = client.all(bodies, profile.capability.concurrency)
    judge(category, category.translated, [exchange.reply for exchange in exchanges])


def test_questions_without_their_picture_do_not_score(client, findings, profile, category):
    """The same questions about a grey picture, or without a picture, MUST NOT get the planted answers."""
    findings.about(category.id)
    for question in category.questions:
        exchanges = client.all(capability.blind_bodies(client.model_id, question), profile.capability.concurrency)
        limited = capability.with_blind_limit(profile, question)
        for exchange in exchanges:
            findings.add(answer.judge_blind(limited, [exchange.reply]), exchange)


@pytest.mark.needs("oracle")
def test_picture_costs_its_tiles(client, findings, context, deployment):
    """Prompt tokens of two pictures under one text MUST differ by the tile formula, and `/tokenize` MUST agree."""
    rule = context.tile_rule
    bodies = [chat_body(client.model_id, "What is this?", (plain_url(*size),), max_tokens=1) for size in SIZES]
    exchanges = client.all(bodies, 1)
    findings.add(pictures.tokens_match_tiles(SIZES, [e.reply for e in exchanges], rule))
    if not deployment.launched and context.profile.endpoint.only_v1:
        return
    counted = client.send(Request("POST", "/tokenize", {"model": client.model_id, "messages": bodies[1]["messages"]}))
    findings.add(pictures.tokenize_agrees(counted, exchanges[1].reply), counted)


@pytest.mark.needs("golden_answers")
def test_golden_answers(client, findings, profile, context):
    """A deployment with golden answers MUST give each of them exactly, with the stored count of prompt tokens."""
    rows = context.inputs.golden_answers
    bodies = [
        chat_body(client.model_id, row["prompt"], [png_url(IMAGES / name) for name in row["pictures"]], max_tokens=256)
        for row in rows
    ]
    exchanges = client.all(bodies, profile.capability.concurrency)
    replies = [exchange.reply for exchange in exchanges]
    findings.add(golden_answers.answers_match(rows, replies))
    findings.note(answers=len(rows))


def fetched_picture(url):
    """Why this machine cannot fetch a public picture, '' when it can; and its size, None if it is not readable."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    exchange = Client(f"{parts.scheme}://{parts.netloc}").send(get(f"{parts.path or '/'}{query}", LOOK_S))
    if exchange.error is not None:
        return exchange.error.kind, None
    if exchange.status != 200:
        return f"HTTP {exchange.status}", None
    return "", size_of_file(exchange.body)


@pytest.mark.needs("url_picture", "launched")
def test_guide_request(client, findings, profile, context):
    """The request of the deployment guide, a logo by URL, MUST be answered with a sane text; the text is reported.

    The guide's own printed answer does not hold the words of its logo, so that no word is demanded. But the prompt MUST
    cost the tiles of this logo: a proxy may have answered the server with another picture.
    """
    url = profile.capability.url_picture
    seen = context.observed("guide_picture", tuple[str, tuple[int, int] | None], lambda: fetched_picture(url))
    unreachable, size = seen
    if unreachable:
        pytest.skip(f"this machine cannot reach {profile.capability.url_picture}: {unreachable}")
    exchange = client.chat(GUIDE_PROMPT, (profile.capability.url_picture,), max_tokens=64)
    findings.add(completion.answered(exchange.reply), exchange)
    findings.note(picture=pictures.size_name(size) if size else "not readable by this machine")
    if isinstance(exchange.reply, NoReply):
        return
    findings.note(answer=exchange.reply.text[:200])
    if size and context.tile_rule is not None:
        plain = client.chat(GUIDE_PROMPT, (plain_url(*SIZES[0]),), max_tokens=1)
        replies = [plain.reply, exchange.reply]
        findings.add(pictures.tokens_match_tiles((SIZES[0], size), replies, context.tile_rule), exchange)
