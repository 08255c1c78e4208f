"""How fast is it? Medians of warm streamed requests, by category; the cold first one is shown, not judged."""

from dataclasses import asdict

import pytest

from vlm_acceptance.cases.pictures import fresh_png_url, png_url
from vlm_acceptance.checks import latency
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads import capability

pytestmark = pytest.mark.smoke


def test_category_is_within_budget(context, client, findings, profile, category):
    """TTFT, TPOT and end to end MUST stay within the category's budgets, each as the median of warm requests."""
    question = category.questions[0]
    samples = []
    for number in range(profile.latency.repeats + 1):
        # a picture that no cache knows: earlier tests have asked about these very files
        picture = fresh_png_url(question.pictures[number % len(question.pictures)].path)
        extra = {"stream": True, "stream_options": {"include_usage": True}}
        body = chat_body(client.model_id, question.prompt, (picture,), max_tokens=question.max_tokens, **extra)
        exchange = client.body(body)
        reply = exchange.reply
        if isinstance(reply, NoReply):
            findings.add([Finding(kinds.LATENCY_NO_ANSWER, "a streamed answer", str(reply), category.id)], exchange)
            return
        samples.append(latency.from_reply(reply))
    cold, warm = samples[0], samples[1:]
    findings.add(latency.within(profile.latency.budget(category.id), warm, category.id), exchange)
    row = capability.latency_row(cold, warm)
    findings.note(**asdict(row))
    context.record.latency[category.id] = row


def test_text_flows(client, findings, profile, category_of):
    """Streamed text MUST come as it is made, not at the end: in one of three long answers at least."""
    question = category_of["description"].questions[0]
    extra = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}
    picture = png_url(question.pictures[0].path)
    body = chat_body(client.model_id, question.prompt, (picture,), max_tokens=profile.latency.stream_tokens, **extra)
    seen = capability.until_one_flows(client, body, tries=3)
    findings.add(seen.findings, seen.exchange)
    findings.note(**seen.figures)
