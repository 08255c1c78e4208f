"""The same five categories through the offline `LLM`, by the same checks."""

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import release as checks
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.workloads import capability

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched", "offline")]


def test_category(offline, findings, profile, category):
    """The offline engine MUST answer each category's question about enough of its eight pictures."""
    findings.judges(category.id)
    findings.note(route="offline")
    for question in category.questions:
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        verdict = capability.judged(profile, category, question, replies)
        findings.add(verdict.findings)
        findings.note(**verdict.figures)


def test_answers_like_the_server(offline, client, findings, profile, category):
    """Offline and served answers MUST be equal where the profile says so; elsewhere their agreement is reported."""
    for question in category.questions:
        bodies = [
            chat_body(client.model_id, question.prompt, (png_url(p.path),), max_tokens=question.max_tokens)
            for p in question.pictures
        ]
        exchanges = client.all(bodies, profile.capability.concurrency)
        served = [exchange.reply for exchange in exchanges]
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        equal, found = checks.same_texts(question.id, served, replies)
        findings.note(**{f"{question.id}_equal": f"{equal} of {len(served)}"})
        findings.add(found if profile.offline.same_text else [])


def test_offline_engine_is_gone(offline, context, findings):
    """The offline engine MUST end by itself, leave no process, and give the device's memory back."""
    findings.add(checks.ended_cleanly(offline.ending, "the offline engine"))
    release = context.record.offline_release
    findings.note(device_memory=release.seen, ready_s=f"{offline.ready_s:.1f}", batch_s=f"{offline.batch_s:.1f}")
    findings.add(checks.memory_returned(release.returned, release.seen))
