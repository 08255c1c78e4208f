"""Is it the right picture? Similar pictures under caches and at once, several pictures, every size."""

import pytest

from vlm_acceptance.cases.pictures import bare_url, png_url
from vlm_acceptance.checks import completion, contamination, edge_inputs, pictures, refusals, server_info
from vlm_acceptance.checks.bars import bar
from vlm_acceptance.checks.pictures import ORDERS
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.config.profile import MULTI_PICTURE
from vlm_acceptance.core import tiles
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.workloads import capability, similar_pictures

COLOURS = "What colours are these pictures? Answer in order."
OTHER_PROMPT = "What colour is this picture? Answer with one word."
WHAT = "What is this?"
# one pixel, a line, the most extreme shapes
EXTREME_SIZES = ((1, 1), (2, 1), (1, 448), (4000, 8), (8, 4000), (10000, 1), (1, 10000))
MANY_SIZES = (
    (64, 64), (112, 112), (224, 112), (112, 224), (336, 112), (224, 224), (448, 448), (640, 480), (480, 640),
    (896, 448), (448, 896), (896, 896), (1024, 768), (1344, 448), (448, 1344), (1344, 896), (1920, 1080),
    (1080, 1920), (2688, 896), (1792, 1344), (3000, 250), (250, 3000),
)  # fmt: skip
# Pillow, which decodes for vLLM, refuses from 179 million pixels on
NEAR_THE_LIMIT = (13000, 13000)


@pytest.fixture
def rule(context):
    """The tile rule; None where the profile has no oracle."""
    return context.tile_rule


@pytest.mark.smoke
def test_similar_pictures(client, findings, context, judge_pictures):
    """Pictures of the same size and prompt, shuffled, at once and twice, MUST each get the answer planted in them."""
    every = similar_pictures.all_pictures(context.inputs.categories)
    below = set()
    for seed in (1, 2):
        sent = similar_pictures.shuffled(every, seed)
        bodies = [similar_pictures.short_body(client.model_id, one) for one in sent]
        exchanges = client.all(bodies, similar_pictures.CONCURRENCY)
        findings.add(similar_pictures.mixed_up(sent, exchanges))
        below |= judge_pictures(dict(zip([one.name for one in sent], exchanges, strict=True)), f"_{seed}")
    findings.below_bar(below)


@pytest.mark.smoke
@pytest.mark.needs("cache_metrics")
def test_long_similar_pictures_hit_the_caches(client, findings, profile, context):
    """Similar pictures in prompts longer than two cache blocks MUST get their own answers while both caches are hit."""
    wanted = profile.capability.long_similar_pictures
    group = similar_pictures.of_question(similar_pictures.all_pictures(context.inputs.categories), wanted.question)
    before = client.get("/metrics")
    for seed in (1, 2):
        sent = similar_pictures.shuffled(group, seed)
        exchanges = client.all([similar_pictures.long_body(client.model_id, one, wanted) for one in sent], len(sent))
        findings.add(similar_pictures.mixed_up(sent, exchanges))
    after = client.get("/metrics")
    used, block = server_info.cache_uses(before, after), server_info.block_size(after)
    longest = max((n for n in map(similar_pictures.prompt_tokens_of, exchanges) if n is not None), default=None)
    findings.note(prefix_cache=used[0], picture_cache=used[1], block_tokens=block, prompt_tokens=longest)
    idle = server_info.without_hits(used) or server_info.too_short(longest, block)
    if idle and not findings.all:
        raise EnvironmentProblem(f"{idle}: the caches' part in the answers is not judged")


@pytest.mark.smoke
def test_other_prompt_right_after(client, findings, profile, context, judge):
    """A picture sent again with another prompt MUST get another answer, and with the first prompt the first answer."""
    category = context.inputs.categories[0]
    question = category.questions[0]
    findings.judges(category.id)
    urls = [png_url(picture.path) for picture in question.pictures]
    first = client.all(capability.bodies(client.model_id, question, urls), profile.capability.concurrency)
    other = client.all(
        [chat_body(client.model_id, OTHER_PROMPT, (url,)) for url in urls], profile.capability.concurrency
    )
    again = client.all(capability.bodies(client.model_id, question, urls), profile.capability.concurrency)
    pairs = [(one.reply, two.reply) for one, two in zip(first, other, strict=True)]
    for (_, reply), exchange in zip(pairs, other, strict=True):
        findings.add(completion.answered(reply), exchange)
    readable = [pair for pair in pairs if not any(isinstance(reply, NoReply) for reply in pair)]
    findings.add(contamination.prompt_ignored(readable), other[0])
    judge(category, question, [exchange.reply for exchange in again])


@pytest.mark.smoke
def test_several_pictures_keep_their_order(client, findings, profile, context):
    """The answer about two pictures in one request MUST keep their order; the effect of placeholders is reported.

    It is judged like a category, by the same share of right answers, and only reported where
    `capability.report_only` names `multi_picture`. All four answers in exactly the reverse order are a failure.
    """
    pairs = [tuple(png_url(IMAGES / "probe" / f"{colour}.png") for colour in order) for order in ORDERS]
    exchanges = client.all([chat_body(client.model_id, COLOURS, pair) for pair in pairs], 1)
    wanted, replies = profile.capability, [exchange.reply for exchange in exchanges]
    least = bar(wanted.min_correct, wanted.recorded.get(MULTI_PICTURE), len(ORDERS))
    found = pictures.reversed_order(ORDERS, replies) + pictures.in_order(ORDERS, replies, least)
    kept = pictures.count_in_order(ORDERS, replies)
    context.record.count(MULTI_PICTURE, kept, len(ORDERS))
    findings.judges(MULTI_PICTURE)
    findings.note(in_order=f"{kept} of {len(ORDERS)}")
    if MULTI_PICTURE in profile.capability.report_only:
        found = [one for one in found if one.fatal]
    findings.add(found)
    for layout, content in several_layouts(pairs[1]).items():
        body = {**chat_body(client.model_id, ""), "messages": [{"role": "user", "content": content}]}
        exchange = client.body(body)
        findings.add(edge_inputs.answered_or_refused(exchange, profile.deadlines.request_s), exchange, layout)
        reply = exchange.reply
        kept = isinstance(reply, NoReply) or pictures.names_in_order(ORDERS[1], reply.text)
        findings.note(**{layout: f"{edge_inputs.in_words(exchange)}{'' if kept else ', another order'}"})


def several_layouts(pair):
    """Other ways to send two pictures and a text, by name: the API leaves open where a picture then stands."""
    first, second = ({"type": "image_url", "image_url": {"url": url}} for url in pair)

    def text(words):
        return {"type": "text", "text": words}

    return {
        "marked": [first, second, text(f"<image>\n<image>\n{COLOURS}")],
        "marked_after": [text(f"Image-1: <image>\nImage-2: <image>\n{COLOURS}"), first, second],
        "one_mark": [first, second, text(f"<image>\n{COLOURS}")],
        "three_marks": [first, second, text(f"<image>\n<image>\n<image>\n{COLOURS}")],
        "text_first": [text(COLOURS), first, second],
        "text_between": [first, text(COLOURS), second],
    }


@pytest.mark.smoke
def test_extreme_sizes(client, findings, profile, rule):
    """A picture of one pixel or extreme shape MUST cost its tiles or be refused readably; the server MUST live on."""
    plain = client.chat(WHAT, (plain_url(64, 64),), max_tokens=4)
    findings.add(completion.answered(plain.reply), plain)
    base = similar_pictures.prompt_tokens_of(plain)
    for width, height in EXTREME_SIZES:
        exchange = client.chat(WHAT, (bare_url(width, height),), max_tokens=4)
        name = pictures.size_name((width, height))
        findings.add(edge_inputs.answered_or_refused(exchange, profile.deadlines.request_s), exchange, name)
        if rule is not None and base is not None:
            wanted = base + tiles.picture_tokens(width, height, rule) - tiles.picture_tokens(64, 64, rule)
            findings.add(edge_inputs.prompt_tokens_are(exchange.reply, wanted), exchange, name)
        findings.note(**{name: edge_inputs.in_words(exchange)})
    findings.add(
        completion.answered(client.chat(WHAT, (plain_url(64, 64),), max_tokens=4).reply),
        where="afterwards",
    )


@pytest.mark.smoke
@pytest.mark.needs("max_pictures")
def test_limit_of_pictures(client, findings, profile, rule):
    """As many pictures as the limit MUST all be taken; one more MUST be refused with a 4xx that names the limit."""
    limit, url = profile.model.max_pictures, plain_url(64, 64)
    counts = sorted({1, min(2, limit), limit})
    exchanges = {n: client.chat(WHAT, (url,) * n, max_tokens=4) for n in counts}
    least = 1 if rule is None else tiles.picture_tokens(64, 64, rule)
    found = pictures.tokens_grow_evenly({n: one.reply for n, one in exchanges.items()}, least)
    findings.add(found)
    beyond = client.chat(WHAT, (url,) * (limit + 1), max_tokens=4)
    deadline = profile.deadlines.request_s
    findings.add(refusals.refused(beyond, statuses={400, 413, 422}, says=rf"\b{limit}\b", deadline_s=deadline), beyond)
    after = client.chat(WHAT, (url,), max_tokens=4)
    findings.add(completion.answered(after.reply), after, "afterwards")


@pytest.mark.slow
@pytest.mark.needs("oracle")
def test_many_sizes(client, findings, rule):
    """Pictures of every shape, up to the most tiles, MUST cost the prompt tokens of the tile formula."""
    bodies = [chat_body(client.model_id, WHAT, (plain_url(*size),), max_tokens=1) for size in MANY_SIZES]
    exchanges = client.all(bodies, 2)
    found = pictures.tokens_match_tiles(MANY_SIZES, [exchange.reply for exchange in exchanges], rule)
    findings.add(found)
    findings.note(most_tiles=max(tiles.tiles(*size, rule) for size in MANY_SIZES))


@pytest.mark.slow
def test_picture_near_the_pixel_limit(client, findings, profile):
    """A picture just below the decoder's limit MUST be answered or refused readably, and the server MUST live on."""
    body = chat_body(client.model_id, WHAT, (bare_url(*NEAR_THE_LIMIT),), max_tokens=4)
    exchange = client.body(body, profile.deadlines.cold_s)
    findings.add(edge_inputs.answered_or_refused(exchange, profile.deadlines.cold_s), exchange)
    findings.note(answer=edge_inputs.in_words(exchange), seconds=f"{exchange.elapsed_s:.1f}")
    after = client.chat(WHAT, (plain_url(64, 64),), max_tokens=4)
    findings.add(completion.answered(after.reply), after, "afterwards")


@pytest.mark.slow
def test_uuid_with_other_bytes(client, findings, profile, context, known, chance):
    """Two pictures sent under one `uuid` MUST be answered as two, or the second MUST be refused."""
    # of the same size: a server that mixes them up would not survive pictures of two sizes
    group = similar_pictures.of_question(similar_pictures.all_pictures(context.inputs.categories), None)[:2]
    uuid, deadline = chance.hex(16), profile.deadlines.request_s
    exchanges = []
    for one in group:
        body = similar_pictures.short_body(client.model_id, one)
        body["messages"][0]["content"][0]["uuid"] = uuid
        exchanges.append(client.body(body))
        findings.add(edge_inputs.answered_or_refused(exchanges[-1], deadline), exchanges[-1], one.name)
    findings.note(answer=edge_inputs.in_words(exchanges[-1]))
    if any(exchange.status != 200 for exchange in exchanges):
        return
    found = similar_pictures.mixed_up(group, exchanges)
    # a wrong answer to the first picture is no known issue
    second = [one for one in found if one.where == group[-1].name]
    if len(second) == len(found):
        found = known.filter_known("uuid", second, exchanges[-1], deadline)
    findings.add(found)


@pytest.mark.slow
def test_no_answer_is_swapped(client, findings, context):
    """Hundreds of questions in shuffled bursts MUST NOT get an answer that was planted in another picture."""
    count = 0
    every = similar_pictures.all_pictures(context.inputs.categories)
    large = similar_pictures.large(every, context.tile_rule) if context.sends_large_pictures else None
    for sent in similar_pictures.bursts(every, large=large):
        bodies = [similar_pictures.short_body(client.model_id, one) for one in sent]
        found = similar_pictures.mixed_up(sent, client.all(bodies, similar_pictures.CONCURRENCY))
        findings.add(found)
        count += len(sent)
        if found:
            break
    findings.note(requests=count)
