"""The same five categories with the offline `LLM`, by the same checks."""

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import release as checks
from vlm_acceptance.checks import server_info
from vlm_acceptance.workloads import capability

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched", "offline")]


def test_category(offline, findings, category, judge):
    """The offline engine MUST give enough right answers about the eight pictures of each category."""
    findings.judges(category.id)
    findings.note(route="offline")
    for question in category.questions:
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        judge(category, question, replies)


def test_answers_like_the_server(offline, client, findings, profile, category):
    """Offline and served answers MUST be equal where the profile says so; otherwise their agreement is reported."""
    for question in category.questions:
        bodies = capability.bodies(client.model_id, question, [png_url(picture.path) for picture in question.pictures])
        exchanges = client.all(bodies, profile.capability.concurrency)
        served = [exchange.reply for exchange in exchanges]
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        equal, found = checks.same_texts(question.id, served, replies)
        findings.note(**{f"{question.id}_equal": f"{equal} of {len(served)}"})
        findings.add(found if profile.offline.same_text else [])


def test_offline_engine_log_figures(offline, findings, profile):
    """The mode in the offline engine's own log MUST be that of the profile; its other figures are reported."""
    findings.note(**server_info.shown(offline.figures))
    if profile.offline.mode is not None:
        findings.add(server_info.mode_is(offline.figures, profile.offline.mode, "offline.log"))


def test_offline_engine_is_gone(offline, context, findings):
    """The offline engine MUST end by itself, leave no process, and return the device memory."""
    findings.add(checks.ended_cleanly(offline.ending, "the offline engine"))
    release = context.record.offline_release
    findings.note(device_memory=release.seen, ready_s=f"{offline.ready_s:.1f}", batch_s=f"{offline.batch_s:.1f}")
    findings.add(checks.memory_returned(release.returned, release.seen))
