"""Are its numbers right where its words are? Greedy tokens and top-5 log probabilities, stored, repeated, batched."""

import pytest

from vlm_acceptance.checks import logprobs as checks
from vlm_acceptance.core.errors import NoReply
from vlm_acceptance.core.logprobs import Known, Numbers
from vlm_acceptance.run.context import IMAGES
from vlm_acceptance.workloads import capability
from vlm_acceptance.workloads.capability import number_body, numbers_in

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


def asked_of(ask, judge, suite, prompts, concurrency):
    """Exchanges by prompt id; whether a text makes sense is judged only where an answer is planted."""
    exchanges = ask.all([number_body(ask.model_id, asked, IMAGES) for asked in prompts], concurrency)
    planted = capability.planted(suite.categories, IMAGES)
    for asked, exchange in zip(prompts, exchanges, strict=True):
        if (asked.prompt, asked.pictures) not in planted:
            judge.disregard(exchange)  # a small model may babble there
    return dict(zip([asked.id for asked in prompts], exchanges, strict=True))


def compared(ask, judge, suite, rows, concurrency):
    """Judge stored numbers against those served now."""
    exchanges = asked_of(ask, judge, suite, [row.asked for row in rows], concurrency)
    known = {row.asked.id: row.numbers for row in rows}
    seen = {name: numbers_in(exchange) for name, exchange in exchanges.items()}
    found, together = checks.against_baseline(known, seen, suite.profile.numbers)
    judge.add_each(found, exchanges)
    judge.note(baseline=suite.settings.numbers_baseline.name, alarm=suite.profile.numbers.alarm, **figures(together))


@pytest.mark.smoke
@pytest.mark.needs("numbers_baseline")
def test_numbers_are_those_of_the_baseline(ask, judge, profile, suite):
    """Greedy tokens and top-5 log probabilities of a sample of prompts MUST be those stored, within the alarm."""
    rows = capability.spread(suite.known_numbers, profile.numbers.sample)
    compared(ask, judge, suite, rows, profile.capability.concurrency)


@pytest.mark.smoke
def test_same_request_gives_the_same_numbers(ask, judge, profile, suite):
    """The same request five times MUST give the same text and, within the profile's limit, the same numbers.

    Where no batch invariance is declared, another token is forgiven at a place that was nearly a tie.
    """
    limits = profile.numbers
    with_picture = next(asked for asked in suite.number_prompts if asked.pictures)
    without = next(asked for asked in suite.number_prompts if not asked.pictures)
    first, exchanges = {}, {}
    for asked in (with_picture, without):
        rounds = [asked_of(ask, judge, suite, [asked], 1)[asked.id] for _ in range(REPEATS)]
        again = {f"{asked.id}, time {number}": exchange for number, exchange in enumerate(rounds[1:], 2)}
        first |= dict.fromkeys(again, numbers_in(rounds[0]))
        exchanges |= again
    seen = {name: numbers_in(exchange) for name, exchange in exchanges.items()}
    found, together = checks.alike(first, seen, limits, exact=limits.batch_invariant)
    judge.add_each(found, exchanges)
    judge.note(**figures(together))


@pytest.mark.smoke
@pytest.mark.needs("numbers_recording")
def test_numbers_can_be_recorded(ask, judge, profile, suite):
    """Every prompt of a recording MUST be answered with log probabilities by token id."""
    prompts = suite.number_prompts
    exchanges = asked_of(ask, judge, suite, prompts, profile.capability.concurrency)
    seen = {name: numbers_in(exchange) for name, exchange in exchanges.items()}
    judge.add_each(checks.missing(seen), exchanges)
    judge.note(prompts=len(prompts))
    suite.notes["numbers"] = [Known(p, seen[p.id]) for p in prompts if isinstance(seen[p.id], Numbers)]


@pytest.mark.slow
@pytest.mark.needs("numbers_baseline")
@pytest.mark.parametrize("concurrency", CONCURRENCIES)
def test_every_number_is_that_of_the_baseline(ask, judge, suite, concurrency):
    """All stored prompts MUST give the stored numbers within the alarm, one at a time and many at once."""
    compared(ask, judge, suite, suite.known_numbers, concurrency)


@pytest.mark.slow
def test_alone_and_in_a_batch(ask, judge, profile, suite):
    """A prompt alone and among fifteen others MUST give numbers within the limit; batch invariance: the same text."""
    prompts = capability.spread(suite.number_prompts, capability.TOGETHER)
    alone = {name: numbers_in(exchange) for name, exchange in asked_of(ask, judge, suite, prompts, 1).items()}
    exchanges = asked_of(ask, judge, suite, prompts, len(prompts))
    together = {name: numbers_in(exchange) for name, exchange in exchanges.items()}
    found, seen = checks.alike(alone, together, profile.numbers, exact=profile.numbers.batch_invariant)
    judge.add_each(found, exchanges)
    judge.note(batch_invariant=profile.numbers.batch_invariant, **figures(seen))


@pytest.mark.slow
@pytest.mark.needs("launched", "offline")
def test_server_gives_the_numbers_of_the_offline_engine(offline_numbers, ask, judge, profile, suite):
    """Served and offline numbers MUST be within the limit; where the profile says so, the texts are the same."""
    prompts = capability.spread(suite.number_prompts, capability.TOGETHER)
    exchanges = asked_of(ask, judge, suite, prompts, profile.capability.concurrency)
    served = {name: numbers_in(exchange) for name, exchange in exchanges.items()}
    none = NoReply("the offline engine gave no numbers")
    apart = {asked.id: offline_numbers.get(asked.id, none) for asked in prompts}
    found, seen = checks.alike(apart, served, profile.numbers, exact=profile.offline.same_text)
    judge.add_each(found, exchanges)
    judge.note(**figures(seen))
