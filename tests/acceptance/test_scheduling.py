"""Does the engine keep requests apart that ask for it (`cache_salt`), and serve urgent ones first (`priority`)?"""

import pytest

from vlm_acceptance.checks import completion
from vlm_acceptance.checks import scheduling as checks
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.config.engine_args import stated_slots
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.workloads import parameters, scheduling

# other clients of an attached endpoint disturb the counters only for a time
MOST_TRIES = 3


@pytest.mark.smoke
@pytest.mark.needs("parameter cache_salt")
@pytest.mark.parametrize("way", parameters.WAYS)
def test_cache_salt(client, findings, chance, way):
    """Of a prompt, nothing MUST come from the cache that another `cache_salt` has filled, streamed and not."""

    def send(start, salt):
        sent = scheduling.prompted(client, scheduling.salted_body(client.model_id, start, salt, way))
        findings.add(checks.answered([sent]), sent.exchange)
        return sent

    for _ in range(MOST_TRIES):
        start, salt = chance.hex(8), chance.hex(16)
        send(start, salt)
        again = send(start, salt)
        other = send(start, chance.hex(16))
        if findings.all:
            return
        own, foreign = (checks.cached_of(again, one) for one in (again, other))
        findings.note(cached=own, cached_with_another_salt=foreign)
        if own and foreign is not None:
            findings.add(checks.apart(again, other))
            return
    seen = (
        "not reported, or other clients are counted, too" if own is None else f"{own} tokens of the same request again"
    )
    pytest.skip(f"what comes from the cache of prompts is not seen: {seen}")


@pytest.mark.slow
@pytest.mark.needs("parameter priority", "priority", "running_metric")
def test_urgent_request_is_served_first(client, findings, profile, deployment, chance):
    """Of two requests that wait for a slot, the one of the lower number in `priority` MUST be served first."""
    slots, within_s = stated_slots(profile.engine.args), profile.deadlines.request_s
    for _ in range(1 if deployment.launched else MOST_TRIES):
        queued = scheduling.queue_for_one_slot(client, slots, within_s, chance)
        if not queued.why_not:
            break
    if queued.why_not:
        raise EnvironmentProblem(f"priority cannot be judged: {queued.why_not}")
    findings.add(checks.first_served(queued.earlier, queued.urgent))


@pytest.mark.smoke
@pytest.mark.needs("parameter priority", "no_priority")
def test_priority_that_is_not_scheduled_is_survived(client, findings, profile):
    """A `priority` that the engine does not schedule by MUST be answered or refused readably; the server MUST live."""
    exchange = client.body({**chat_body(client.model_id, parameters.SHORT, max_tokens=4), **scheduling.PRIORITY})
    findings.disregard(exchange)
    findings.add(checks.survived(exchange, profile.deadlines.request_s), exchange)
    alive = client.chat(parameters.SHORT, max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")
