"""Is it a model that answers? Pictures and texts that no earlier run can have sent, and requests that are repeated."""

from functools import partial
from itertools import pairwise

import pytest

from vlm_acceptance.cases.challenge_pictures import questions
from vlm_acceptance.cases.pictures import encoded
from vlm_acceptance.checks import challenge as checks
from vlm_acceptance.checks import pictures, server_info
from vlm_acceptance.checks import release as offline_checks
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.run.gallery import NEW
from vlm_acceptance.workloads import challenge
from vlm_acceptance.workloads.refused_pictures import tokenized

pytestmark = pytest.mark.smoke

ONE_TILE = (64, 64)
# a gateway may pass only a part of the server's paths
NO_ROUTE = (404, 405)
COUNTER = "vllm:request_success"


@pytest.fixture
def judge_new(context, findings, profile):
    """Judges the answers about the new pictures."""

    def judge_new(replies):
        tokens, asked = profile.model.special_tokens, questions(context.new_pictures)
        seen = checks.read_new_pictures(asked, replies, profile.challenge.min_correct, tokens)
        for question, drawn, reply in zip(asked, context.new_pictures, replies, strict=True):
            wrong, picture = checks.judged_as_new(question, reply, tokens), partial(encoded, drawn.image, "PNG")
            context.record.gallery.add(findings.test, NEW, question, question.pictures[0], reply, wrong, picture)
        findings.add(seen.findings)
        findings.note(right=f"{seen.right} of {len(replies)}")
        return seen

    return judge_new


@pytest.mark.needs("new_pictures")
def test_new_pictures(client, findings, profile, context, judge_new):
    """New pictures of random words, numbers, colours and bars MUST be read, and each MUST cost exactly its tiles."""
    drawn = context.new_pictures
    exchanges = client.all(challenge.bodies(client.model_id, drawn), profile.capability.concurrency)
    replies = [exchange.reply for exchange in exchanges]
    seen = judge_new(replies)
    if not seen.late:
        context.record.new_pictures = seen.right
    if context.tile_rule is None:
        return
    # the same text with a picture of one tile
    by_prompt = {
        one.prompt: chat_body(client.model_id, one.prompt, (plain_url(*ONE_TILE),), max_tokens=1) for one in drawn
    }
    small = client.all(list(by_prompt.values()), profile.capability.concurrency)
    base = {prompt: exchange.reply for prompt, exchange in zip(by_prompt, small, strict=True)}
    for one, reply in zip(drawn, replies, strict=True):
        pair = (ONE_TILE, one.image.size), (base[one.prompt], reply)
        findings.add(pictures.tokens_match_tiles(*pair, context.tile_rule))


@pytest.mark.needs("new_pictures", "launched", "offline")
def test_offline_new_pictures(offline, context, judge_new):
    """The offline engine MUST read the new pictures, too."""
    names = challenge.offline_ids(context.new_pictures)
    judge_new([offline_checks.reply_to(offline.replies, name) for name in names])


@pytest.mark.needs("new_texts")
def test_tokens_follow_new_texts(client, findings, deployment, chance):
    """The prompt tokens of new texts MUST add up line by line, and `/tokenize` MUST count as many."""
    bodies = challenge.text_bodies(client.model_id, chance)
    replies = {}
    for layout, body in bodies.items():
        exchange = client.body(body)
        replies[layout] = exchange.reply
        counted = tokenized(client, body["messages"][0]["content"])
        if deployment.launched or counted.status not in NO_ROUTE:
            findings.add(pictures.tokenize_agrees(counted, exchange.reply), counted, layout)
    findings.add(checks.tokens_follow_texts(replies))
    findings.note(
        **{f"tokens_{layout}": reply.usage.prompt for layout, reply in replies.items() if getattr(reply, "usage", None)}
    )


@pytest.mark.needs("new_texts")
def test_same_body_is_answered_anew(client, findings, chance):
    """One body, sent again and again at temperature 1, MUST NOT get one answer: it would be one out of a cache."""
    body = challenge.sampled_body(client.model_id, chance)
    first = client.body(body)
    later = client.all([body] * (challenge.REPEATS - 1), challenge.REPEATS)
    replies = [exchange.reply for exchange in (first, *later)]
    findings.add(checks.answers_vary(replies, kinds.CACHED_BY_BODY, "one body"))
    findings.note(different=len({reply.text for reply in replies if hasattr(reply, "text")}))


@pytest.mark.needs("new_texts")
def test_same_text_about_other_pictures_is_answered_anew(client, findings, context, chance):
    """One text about different pictures, at temperature 1, MUST NOT get one answer: it would be one out of a cache."""
    urls = [challenge.url_of(one) for one in context.new_pictures[: challenge.REPEATS]]
    body = challenge.sampled_body(client.model_id, chance, urls[0])
    text = body["messages"][0]["content"][-1]["text"]
    first = client.body(body)
    others = [chat_body(client.model_id, text, (url,), **challenge.SAMPLED) for url in urls[1:]]
    replies = [exchange.reply for exchange in (first, *client.all(others, challenge.REPEATS))]
    findings.add(checks.answers_vary(replies, kinds.CACHED_BY_TEXT, "one text about different pictures"))
    findings.note(different=len({reply.text for reply in replies if hasattr(reply, "text")}))


@pytest.mark.needs("new_texts", "request_metric")
def test_repeated_request_is_computed_again(client, findings, chance):
    """A body that is repeated MUST reach the engine each time, by the engine's own count of requests."""
    body, *new = challenge.new_bodies(client.model_id, chance, challenge.REPEATS + 1)
    pages = [client.get("/metrics")]
    for bodies in (new, [body] * challenge.REPEATS):
        for one in bodies:
            client.body(one)
        pages.append(client.get("/metrics"))
    counts = [server_info.figure_of(server_info.figures_in(page), COUNTER) for page in pages]
    grown = [None if None in pair else pair[1] - pair[0] for pair in pairwise(counts)]
    findings.note(counted_new=grown[0], counted_again=grown[1])
    findings.add(checks.repeats_are_computed(*grown, challenge.REPEATS), pages[-1])
