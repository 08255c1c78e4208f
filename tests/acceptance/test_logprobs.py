"""Are its log probabilities right? Greedy tokens and top-5 log probabilities: stored, repeated and in batches."""

import pytest

from vlm_acceptance.checks import logprobs as checks
from vlm_acceptance.checks.agreement import spelling
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.logprobs import LogProbs, StoredLogProbs, logprobs_of
from vlm_acceptance.core.spelling import Spelled, spelled_of
from vlm_acceptance.report.evidence import slug
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.workloads import capability, logprobs

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


def keep(context, findings, distances, together):
    """Store the distance of each prompt and of all together."""
    mean = None if together is None else together.shift
    context.store.observation(f"logprobs-{slug(findings.test)}", {"test": findings.test, "mean": mean, **distances})


def served(client, findings, context, prompts, concurrency):
    """Log probabilities or NoReply by prompt id; each text must be what its tokens spell.

    Degenerate text counts only where the picture shows the answer.
    """
    bodies = [logprobs.logprob_body(client.model_id, prompt, IMAGES) for prompt in prompts]
    exchanges = client.all(bodies, concurrency)
    planted = capability.planted(context.inputs.categories, IMAGES)
    for prompt, exchange in zip(prompts, exchanges, strict=True):
        answer = spelled_of(exchange)
        findings.add(spelling(answer) if isinstance(answer, Spelled) else [], exchange, prompt.id)
        if (prompt.prompt, prompt.pictures) not in planted:
            findings.disregard(exchange)  # a small model may babble there
    return {prompt.id: logprobs_of(exchange) for prompt, exchange in zip(prompts, exchanges, strict=True)}


def compared(client, findings, context, rows, concurrency):
    """Judge stored log probabilities against those served now."""
    seen = served(client, findings, context, [row.prompt for row in rows], concurrency)
    stored, limits = {row.prompt.id: row.logprobs for row in rows}, context.profile.logprobs
    found, together = checks.against_baseline(stored, seen, limits)
    baseline = context.settings.logprobs_baseline.name
    keep(context, findings, checks.figures_of(stored, seen, limits, baseline), together)
    findings.add(found)
    findings.note(baseline=baseline, alarm=limits.alarm, **figures(together))


@pytest.mark.smoke
@pytest.mark.needs("logprobs_baseline")
def test_logprobs_match_the_baseline(client, findings, profile, context):
    """Greedy tokens and top-5 log probabilities of a sample of prompts MUST be those stored, within the alarm."""
    rows = logprobs.spread(context.inputs.stored_logprobs, profile.logprobs.sample)
    compared(client, findings, context, rows, profile.capability.concurrency)


@pytest.mark.smoke
def test_same_request_gives_the_same_logprobs(client, findings, profile, context):
    """The same request five times MUST give the same text and, within the profile's limit, the same log probabilities.

    Where no batch invariance is declared, another token is accepted where two tokens are nearly tied.
    """
    limits = profile.logprobs
    with_picture = next(prompt for prompt in context.inputs.logprob_prompts if prompt.pictures)
    without = next(prompt for prompt in context.inputs.logprob_prompts if not prompt.pictures)
    first, again = {}, {}
    for prompt in (with_picture, without):
        rounds = [served(client, findings, context, [prompt], 1)[prompt.id] for _ in range(REPEATS)]
        repeats = {f"{prompt.id}, time {number}": seen for number, seen in enumerate(rounds[1:], 2)}
        first |= dict.fromkeys(repeats, rounds[0])
        again |= repeats
    found, together = checks.alike(first, again, limits, exact=limits.batch_invariant)
    keep(context, findings, checks.figures_of(first, again, limits), together)
    findings.add(found)
    findings.note(**figures(together))


@pytest.mark.smoke
@pytest.mark.needs("logprobs_recording")
def test_logprobs_can_be_recorded(client, findings, profile, context):
    """Every prompt of a recording MUST be answered with log probabilities by token id."""
    prompts = context.inputs.logprob_prompts
    seen = served(client, findings, context, prompts, profile.capability.concurrency)
    findings.add(checks.missing(seen))
    findings.note(prompts=len(prompts))
    context.record.logprobs = [StoredLogProbs(p, seen[p.id]) for p in prompts if isinstance(seen[p.id], LogProbs)]


@pytest.mark.slow
@pytest.mark.needs("logprobs_baseline")
@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_all_logprobs_match_the_baseline(client, findings, context, concurrency):
    """All stored prompts MUST give the stored log probabilities within the alarm, one at a time and many at once."""
    compared(client, findings, context, context.inputs.stored_logprobs, concurrency)


@pytest.mark.slow
def test_alone_and_in_a_batch(client, findings, profile, context):
    """Alone and among fifteen others, log probabilities MUST be within the limit; batch invariance: the same text."""
    prompts = logprobs.spread(context.inputs.logprob_prompts, logprobs.TOGETHER)
    alone = served(client, findings, context, prompts, 1)
    together = served(client, findings, context, prompts, len(prompts))
    found, seen = checks.alike(alone, together, profile.logprobs, exact=profile.logprobs.batch_invariant)
    keep(context, findings, checks.figures_of(alone, together, profile.logprobs), seen)
    findings.add(found)
    findings.note(batch_invariant=profile.logprobs.batch_invariant, **figures(seen))


@pytest.mark.slow
@pytest.mark.needs("launched", "offline")
def test_server_gives_the_logprobs_of_the_offline_engine(offline_logprobs, client, findings, profile, context):
    """Served and offline log probabilities MUST be within the limit; where the profile says so, the texts are equal."""
    prompts = logprobs.spread(context.inputs.logprob_prompts, logprobs.TOGETHER)
    online = served(client, findings, context, prompts, profile.capability.concurrency)
    none = NoReply("the offline engine gave no log probabilities")
    apart = {prompt.id: offline_logprobs.get(prompt.id, none) for prompt in prompts}
    found, seen = checks.alike(apart, online, profile.logprobs, exact=profile.offline.same_text)
    keep(context, findings, checks.figures_of(apart, online, profile.logprobs), seen)
    findings.add(found)
    findings.note(**figures(seen))
