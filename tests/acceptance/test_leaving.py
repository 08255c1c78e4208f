"""Clients that leave before their answer is complete, whatever it waits for, and a client that comes after a pause."""

import pytest

from vlm_acceptance.cases.pictures import fresh_png_url, png_url
from vlm_acceptance.checks import completion
from vlm_acceptance.checks import leaving as checks
from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.core.errors import DeploymentFailure, EnvironmentProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.spelling import PARAMS
from vlm_acceptance.workloads import capability, leaving

MOST_TRIES = 3


@pytest.fixture
def leave(client, findings, profile, deployment):
    """Lets clients leave and judges that their slots are freed, and that the next client is answered."""

    def leave(bodies, is_time):
        within_s, is_alone = profile.load.freed_s, deployment.launched
        # other clients of an attached endpoint disturb the figures only for a time
        tries = []
        for _ in range(1 if is_alone else MOST_TRIES):
            tries.append(leaving.leave(client, bodies, within_s, is_time, is_alone=is_alone))
            if tries[-1].is_freed(within_s):
                break
        made = leaving.judged_of(tries, within_s, is_alone=is_alone)
        if made is None:
            seen = ", ".join(str(tried.before) for tried in tries)
            if tries[-1].before is None:
                raise DeploymentFailure(f"/metrics does not report {leaving.COUNTED}, or does not answer")
            raise EnvironmentProblem(f"{leaving.COUNTED} count other clients too, in {len(tries)} tries: {seen} before")
        findings.add(made.kept(within_s), made.exchanges[0])
        figures = {"before": made.before, "most": made.most, "answered": len(made.answered)}
        findings.note(**figures, freed_after_s=f"{made.after[-1][0]:.2f}")
        after = client.chat("Reply with OK.", max_tokens=2)
        findings.add(completion.answered(after.reply), after, "the next client")
        return made

    return leave


@pytest.mark.smoke
@pytest.mark.needs("running_metric")
def test_leaver_before_the_first_token_frees_its_slot(client, profile, leave, chance):
    """Clients with long prompts that leave before the first token MUST free their slots within seconds."""
    words = leaving.words_for(profile.model.max_model_len)
    bodies = leaving.endless_bodies(client.model_id, leaving.LEAVERS, chance, words, is_streamed=True)
    leave(bodies, lambda seen, past_s: seen >= 1 or past_s >= leaving.SETTLE_S)


@pytest.mark.smoke
@pytest.mark.needs("running_metric")
def test_leaver_without_a_stream_frees_its_slot(client, findings, leave, chance):
    """Clients that leave an answer that is not streamed MUST free their slots within seconds."""
    bodies = leaving.endless_bodies(client.model_id, leaving.LEAVERS, chance)
    made = leave(bodies, lambda seen, past_s: seen >= leaving.LEAVERS)
    findings.add(made.uncounted, made.exchanges[0])


@pytest.mark.slow
@pytest.mark.needs("running_metric")
def test_waiting_leaver_frees_its_place(client, findings, profile, leave, chance):
    """Of clients that leave while many of them wait for a slot, none MUST be left, running or waiting."""
    for clients in leaving.crowds(profile.engine.args):
        bodies = leaving.endless_bodies(client.model_id, clients, chance)
        made = leave(bodies, lambda seen, past_s, clients=clients: seen >= clients)
        findings.add(made.uncounted, made.exchanges[0])
        findings.note(clients=clients, queued=made.queued_in_words)
        if findings.all or made.queued:
            return
    pytest.skip(f"none of {clients} clients waited for a slot when they left: {made.queued_in_words}")


@pytest.mark.smoke
def test_pictures_of_leavers_are_answered(client, findings, profile, category_of, chance):
    """After clients with pictures left, other pictures and theirs MUST be read as before, each by its own answer."""
    sign, tokens = category_of["ocr"].questions[0], profile.model.special_tokens
    at_once = profile.capability.concurrency
    # the same pictures to a model, but in no cache yet
    urls = [fresh_png_url(picture.path, chance) for picture in sign.pictures]
    known = [png_url(picture.path) for picture in sign.pictures]
    replies = [one.reply for one in client.all(capability.bodies(client.model_id, sign, known), at_once)]
    fit = [
        number
        for number, (picture, reply) in enumerate(zip(sign.pictures, replies, strict=True))
        if not isinstance(reply, NoReply) and not judge_picture(sign, picture, reply, tokens)
    ]
    findings.note(read_before=len(fit))
    bodies = capability.bodies(client.model_id, sign, urls)
    left, others = fit[: len(fit) // 2], fit[len(fit) // 2 :]
    if not left:
        findings.add(checks.unanswered_before(replies))
        if findings.all:
            return
        pytest.skip("fewer than two signs are read rightly: nothing to compare with")
    for exchange in leaving.leave_in_mid_stream(client, [bodies[number] for number in left]):
        findings.disregard(exchange)
    for where, numbers in ((checks.OTHERS, others), (checks.OWN, left)):
        exchanges = client.all([bodies[number] for number in numbers], at_once)
        asked = [(sign.pictures[number], exchange) for number, exchange in zip(numbers, exchanges, strict=True)]
        findings.add(checks.answers_afterwards(sign, asked, tokens, where))


@pytest.mark.slow
def test_first_request_after_an_idle_spell(client, findings, profile, category_of, tie):
    """The first request after an idle spell MUST be answered as before, within the deadline of a cold start."""
    sign, idle_s = category_of["ocr"].questions[0], profile.leaving.idle_s
    [body, *_] = capability.bodies(client.model_id, sign, [png_url(sign.pictures[0].path)])
    first = client.body({**body, **PARAMS})
    client.pause(idle_s)
    later = client.body({**body, **PARAMS}, profile.deadlines.cold_s)
    findings.note(idle_s=f"{idle_s:g}", answered_after_s=f"{later.elapsed_s:.2f}")
    findings.add(checks.as_before(first, later, tie, idle_s))
