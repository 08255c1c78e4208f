"""Are its numbers right where its words are? Greedy tokens and top-5 log probabilities, stored, repeated, batched."""

import pytest

from vlm_acceptance.checks import logprobs as checks
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.logprobs import LogProbs, StoredLogProbs, logprobs_of
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.workloads import capability
from vlm_acceptance.workloads.capability import number_body

REPEATS = 5
CONCURRENCIES = (1, 16)


def figures(together):
    """Totals as properties of a test."""
    if together is None:
        return {}
    return {
        "prompts": together.prompts,
        "shift": f"{together.shift:.5f}",
        "top5_in_common": f"{together.common:.4f}",
        "chosen_mean": f"{together.chosen_mean:.5f}",
        "chosen_max": f"{together.chosen_max:.5f}",
        "other_token": together.diverged,
    }


def asked_of(client, findings, context, prompts, concurrency):
    """Exchanges by prompt id; whether a text makes sense is judged only where an answer is planted."""
    exchanges = client.all([number_body(client.model_id, asked, IMAGES) for asked in prompts], concurrency)
    planted = capability.planted(context.inputs.categories, IMAGES)
    for asked, exchange in zip(prompts, exchanges, strict=True):
        if (asked.prompt, asked.pictures) not in planted:
            findings.disregard(exchange)  # a small model may babble there
    return dict(zip([asked.id for asked in prompts], exchanges, strict=True))


def compared(client, findings, context, rows, concurrency):
    """Judge stored log probabilities against those served now."""
    exchanges = asked_of(client, findings, context, [row.asked for row in rows], concurrency)
    known = {row.asked.id: row.numbers for row in rows}
    seen = {name: logprobs_of(exchange) for name, exchange in exchanges.items()}
    found, together = checks.against_baseline(known, seen, context.profile.logprobs)
    findings.add(found)
    findings.note(
        baseline=context.settings.logprobs_baseline.name, alarm=context.profile.logprobs.alarm, **figures(together)
    )


@pytest.mark.smoke
@pytest.mark.needs("numbers_baseline")
def test_numbers_are_those_of_the_baseline(client, findings, profile, context):
    """Greedy tokens and top-5 log probabilities of a sample of prompts MUST be those stored, within the alarm."""
    rows = capability.spread(context.inputs.stored_logprobs, profile.logprobs.sample)
    compared(client, findings, context, rows, profile.capability.concurrency)


@pytest.mark.smoke
def test_same_request_gives_the_same_numbers(client, findings, profile, context):
    """The same request five times MUST give the same text and, within the profile's limit, the same numbers.

    Where no batch invariance is declared, another token is forgiven at a place that was nearly a tie.
    """
    limits = profile.logprobs
    with_picture = next(asked for asked in context.inputs.logprob_prompts if asked.pictures)
    without = next(asked for asked in context.inputs.logprob_prompts if not asked.pictures)
    first, exchanges = {}, {}
    for asked in (with_picture, without):
        rounds = [asked_of(client, findings, context, [asked], 1)[asked.id] for _ in range(REPEATS)]
        again = {f"{asked.id}, time {number}": exchange for number, exchange in enumerate(rounds[1:], 2)}
        first |= dict.fromkeys(again, logprobs_of(rounds[0]))
        exchanges |= again
    seen = {name: logprobs_of(exchange) for name, exchange in exchanges.items()}
    found, together = checks.alike(first, seen, limits, exact=limits.batch_invariant)
    findings.add(found)
    findings.note(**figures(together))


@pytest.mark.smoke
@pytest.mark.needs("numbers_recording")
def test_numbers_can_be_recorded(client, findings, profile, context):
    """Every prompt of a recording MUST be answered with log probabilities by token id."""
    prompts = context.inputs.logprob_prompts
    exchanges = asked_of(client, findings, context, prompts, profile.capability.concurrency)
    seen = {name: logprobs_of(exchange) for name, exchange in exchanges.items()}
    findings.add(checks.missing(seen))
    findings.note(prompts=len(prompts))
    context.record.logprobs = [StoredLogProbs(p, seen[p.id]) for p in prompts if isinstance(seen[p.id], LogProbs)]


@pytest.mark.slow
@pytest.mark.needs("numbers_baseline")
@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_every_number_is_that_of_the_baseline(client, findings, context, concurrency):
    """All stored prompts MUST give the stored numbers within the alarm, one at a time and many at once."""
    compared(client, findings, context, context.inputs.stored_logprobs, concurrency)


@pytest.mark.slow
def test_alone_and_in_a_batch(client, findings, profile, context):
    """A prompt alone and among fifteen others MUST give numbers within the limit; batch invariance: the same text."""
    prompts = capability.spread(context.inputs.logprob_prompts, capability.TOGETHER)
    alone = {name: logprobs_of(exchange) for name, exchange in asked_of(client, findings, context, prompts, 1).items()}
    exchanges = asked_of(client, findings, context, prompts, len(prompts))
    together = {name: logprobs_of(exchange) for name, exchange in exchanges.items()}
    found, seen = checks.alike(alone, together, profile.logprobs, exact=profile.logprobs.batch_invariant)
    findings.add(found)
    findings.note(batch_invariant=profile.logprobs.batch_invariant, **figures(seen))


@pytest.mark.slow
@pytest.mark.needs("launched", "offline")
def test_server_gives_the_numbers_of_the_offline_engine(offline_logprobs, client, findings, profile, context):
    """Served and offline numbers MUST be within the limit; where the profile says so, the texts are the same."""
    prompts = capability.spread(context.inputs.logprob_prompts, capability.TOGETHER)
    exchanges = asked_of(client, findings, context, prompts, profile.capability.concurrency)
    served = {name: logprobs_of(exchange) for name, exchange in exchanges.items()}
    none = NoReply("the offline engine gave no numbers")
    apart = {asked.id: offline_logprobs.get(asked.id, none) for asked in prompts}
    found, seen = checks.alike(apart, served, profile.logprobs, exact=profile.offline.same_text)
    findings.add(found)
    findings.note(**figures(seen))
