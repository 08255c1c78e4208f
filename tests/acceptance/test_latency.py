"""How fast is it? Medians of warm streamed requests by category; the cold first request is reported, not judged."""

import pytest

from vlm_acceptance.cases.large_pictures import fresh_urls
from vlm_acceptance.cases.pictures import fresh_png_url, png_url
from vlm_acceptance.checks import latency
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.config.profile import LARGE_PICTURES
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding

pytestmark = pytest.mark.smoke

TRIES = 3


def test_category_is_within_budget(client, measure_latency, profile, category, chance):
    """TTFT, TPOT and end to end MUST stay within the category's budgets, each as the median of warm requests."""
    question = category.questions[0]
    # a picture that is in no cache: earlier tests have sent these files
    files = [question.pictures[number % len(question.pictures)].path for number in range(profile.latency.repeats + 1)]
    pictures = [(fresh_png_url(file, chance),) for file in files]
    bodies = [chat_body(client.model_id, question.prompt, one, max_tokens=question.max_tokens) for one in pictures]
    measure_latency(category.id, bodies, profile.latency.budget(category.id))


@pytest.mark.needs("large_pictures")
def test_large_pictures_are_within_budget(client, context, measure_latency, profile, category_of, chance):
    """With pictures of the most tiles the times MUST stay within a budget of their own."""
    if not context.sends_large_pictures:
        pytest.skip(f"the served model cuts no picture into 6 tiles: {context.tile_rule}")
    question = category_of["ocr"].questions[0]
    urls = fresh_urls(question, context.tile_rule, profile.latency.repeats + 1, chance)
    bodies = [chat_body(client.model_id, question.prompt, (url,), max_tokens=question.max_tokens) for url in urls]
    measure_latency(LARGE_PICTURES, bodies, profile.latency.budget(LARGE_PICTURES))


def test_text_flows(client, findings, profile, category_of):
    """Streamed text MUST arrive while it is generated, not at the end, in at least one of three long answers."""
    question = category_of["description"].questions[0]
    extra = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}
    picture = png_url(question.pictures[0].path)
    body = chat_body(client.model_id, question.prompt, (picture,), max_tokens=profile.latency.stream_tokens, **extra)
    # a busy machine may starve a process for a second, so that one answer arrives in a burst; a server that does not
    # stream holds back every one
    for number in range(1, TRIES + 1):
        exchange = client.body(body)
        reply = exchange.reply
        if isinstance(reply, NoReply):
            findings.add([Finding(kinds.LATENCY_NO_ANSWER, "a streamed answer", str(reply))], exchange)
            return
        found = latency.flows(reply)
        first = "no data" if reply.ttft_s is None else f"{reply.ttft_s:.3f}"
        findings.note(first_text_s=first, whole_s=f"{reply.elapsed_s:.3f}", tries=number)
        if not found:
            break
    findings.add(found, exchange)
