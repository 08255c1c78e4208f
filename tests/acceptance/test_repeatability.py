"""The same questions again and again, mixed: a deployment that is right once must be right every time."""

import random

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.workloads import capability

pytestmark = pytest.mark.slow

ROUNDS = 5
CONCURRENCY = 8


@pytest.mark.parametrize("round_number", range(1, ROUNDS + 1))
def test_mixed_round(client, findings, profile, context, round_number):
    """Every category MUST reach its bar when all its questions are asked mixed and at once."""
    asked = [(c, q, n) for c in context.inputs.categories for q in c.questions for n in range(len(q.pictures))]
    random.Random(round_number).shuffle(asked)
    bodies = [
        chat_body(client.model_id, q.prompt, (png_url(q.pictures[n].path),), max_tokens=q.max_tokens)
        for _, q, n in asked
    ]
    exchanges = dict(zip([(c.id, q.id, n) for c, q, n in asked], client.all(bodies, CONCURRENCY), strict=True))
    below = set()
    for category in context.inputs.categories:
        for question in category.questions:
            mine = [exchanges[category.id, question.id, n] for n in range(len(question.pictures))]
            verdict = capability.judged(profile, category, question, [exchange.reply for exchange in mine])
            findings.add(verdict.findings)
            below |= {category.id} if verdict.findings else set()
            findings.note(**verdict.figures)
    findings.below_bar(below)
