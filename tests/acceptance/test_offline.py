"""The same five categories with the offline `LLM`, by the same checks."""

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import release as checks
from vlm_acceptance.checks import server_info
from vlm_acceptance.core.spelling import PARAMS
from vlm_acceptance.workloads import capability

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched", "offline")]


def test_category(offline, findings, category, judge):
    """The offline engine MUST give enough right answers about the eight pictures of each category."""
    findings.judges(category.id)
    findings.note(route="offline")
    for question in category.questions:
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        judge(category, question, replies)


def test_answers_like_the_server(offline, client, findings, profile, context, category):
    """Offline and served answers MUST be equal where the profile says so; else most, but for near-ties of two tokens.

    Most are as many as the profile wants right answers (`capability.min_correct`), or fewer if the calibration saw
    fewer agree (`capability.recorded`). Without a calibration fewer are to be calibrated, but fewer than two of eight
    are a failure.
    """
    tie = None if profile.offline.same_text else profile.logprobs.tie
    for question in category.questions:
        urls = [png_url(picture.path) for picture in question.pictures]
        bodies = [{**body, **PARAMS} for body in capability.bodies(client.model_id, question, urls)]
        served = client.all(bodies, profile.capability.concurrency)
        replies = [checks.reply_to(offline.replies, name) for name in capability.offline_ids(category, question)]
        same = checks.same_texts(question.id, served, replies, tie)
        findings.note(**{f"{question.id}_equal": f"{same.equal} of {len(served)}"})
        if tie is not None:
            findings.note(**{f"{question.id}_near_ties": same.near_ties})
            key = capability.offline_key_of(category, question)
            if not same.starved:
                context.record.agreed[key] = same.agreed
            if same.agreed + len(same.starved) >= capability.bar_of(profile, key):
                findings.add(same.starved)
                continue
        findings.add(checks.hardly_alike(question.id, same) + same.found)


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
