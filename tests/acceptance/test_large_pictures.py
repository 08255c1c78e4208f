"""Pictures of many tiles, as photos and scans are: enlarged until the served model cuts them into 6 to 12 tiles."""

import pytest

from vlm_acceptance.cases.large_pictures import grids, own_urls, size_of
from vlm_acceptance.checks import pictures
from vlm_acceptance.checks import release as offline_checks
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.core import tiles
from vlm_acceptance.workloads import capability, similar_pictures

pytestmark = [pytest.mark.smoke, pytest.mark.needs("large_pictures")]

ONE_TILE = (64, 64)


@pytest.fixture
def rule(context):
    """The tile rule; None where the profile has no oracle."""
    if not context.sends_large_pictures:
        pytest.skip(f"the served model cuts no picture into 6 tiles: {context.tile_rule}")
    return context.tile_rule


def test_category(client, findings, profile, category, judge, rule):
    """Each category MUST reach its bar with pictures of 6 to 12 tiles, and each MUST cost exactly its tiles."""
    findings.judges(category.id)
    findings.note(route="png")
    for question in category.questions:
        exchanges = client.all(
            capability.bodies(client.model_id, question, own_urls(question, rule)), profile.capability.concurrency
        )
        replies = [exchange.reply for exchange in exchanges]
        judge(category, question, replies, is_large=True)
        if rule is not None:
            small = client.body(chat_body(client.model_id, question.prompt, (plain_url(*ONE_TILE),), max_tokens=1))
            sizes = [ONE_TILE, *(size_of(rule, number) for number in range(len(replies)))]
            findings.add(pictures.tokens_match_tiles(sizes, [small.reply, *replies], rule))
    if rule is not None:
        most = max(tiles.tiles(*size_of(rule, number), rule) for number in range(len(grids(rule))))
        findings.note(most_tiles=most, most_picture_tokens=most * rule.tokens_per_tile)


def test_similar_pictures(client, findings, context, judge_pictures, rule):
    """Pictures of many tiles, of one size and prompt, at once, MUST each get the answer planted in them."""
    every = similar_pictures.large(similar_pictures.all_pictures(context.inputs.categories), rule)
    sent = similar_pictures.shuffled(every, 1)
    bodies = [similar_pictures.short_body(client.model_id, one) for one in sent]
    exchanges = client.all(bodies, similar_pictures.CONCURRENCY)
    findings.add(similar_pictures.mixed_up(sent, exchanges))
    findings.below_bar(judge_pictures(dict(zip([one.name for one in sent], exchanges, strict=True)), is_large=True))


@pytest.mark.needs("launched", "offline")
def test_offline_category(offline, findings, context, judge, rule):
    """The offline engine MUST reach the bar of one category with pictures of many tiles."""
    category = context.inputs.categories[0]
    question = category.questions[0]
    findings.judges(category.id)
    findings.note(route="offline")
    ids = capability.offline_ids(category, question, capability.LARGE)
    judge(category, question, [offline_checks.reply_to(offline.replies, ident) for ident in ids], is_large=True)
