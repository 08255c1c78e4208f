"""Are its log probabilities right? Greedy tokens and their likeliest ones: stored, scored, repeated and in batches."""

import pytest

from vlm_acceptance.checks import logprobs as checks
from vlm_acceptance.checks.agreement import spelling
from vlm_acceptance.core.errors import NotRun, NotStored
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.logprobs import MOST_TOP, LogProbs, StoredLogProbs, cut, logprobs_of
from vlm_acceptance.core.spelling import TOP, Spelled, spelled_of
from vlm_acceptance.core.vllm_forms import has_two_forms
from vlm_acceptance.engine.reference_files import other_files
from vlm_acceptance.report.evidence import slug
from vlm_acceptance.run.baseline_limits import Compared, require_same_form
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.run.summary import versions
from vlm_acceptance.stats.spread import spread
from vlm_acceptance.workloads import capability, logprobs, scoring

REPEATS = 5
CONCURRENCIES = (1, 16)
NO_OFFLINE = NoReply("the offline engine gave no log probabilities")


def figures(together):
    """Totals as properties of a test."""
    if together is None:
        return {}
    return {
        "prompts": together.prompts,
        "shift": f"{together.shift:.5f}",
        "top_in_common": f"{together.common:.4f}",
        "chosen_mean": f"{together.chosen_mean:.5f}",
        "chosen_max": f"{together.chosen_max:.5f}",
        "other_token": together.diverged,
    }


def keep(context, findings, distances, together):
    """Store the distance of each prompt and of all together."""
    mean = None if together is None else together.shift
    context.store.observation(f"logprobs-{slug(findings.test)}", {"test": findings.test, "mean": mean, **distances})


def asked(client, findings, context, prompts, concurrency, top=TOP, **fields):
    """Log probabilities or NoReply by prompt id, and how many tokens they list; each text must be its tokens'.

    Degenerate text counts only where the picture shows the answer. `fields` are added to every request.
    """
    exchanges, top = logprobs.asked(client, prompts, IMAGES, concurrency, top, **fields)
    planted = capability.planted(context.inputs.categories, IMAGES)
    for prompt, exchange in zip(prompts, exchanges, strict=True):
        answer = spelled_of(exchange)
        findings.add(spelling(answer) if isinstance(answer, Spelled) else [], exchange, prompt.id)
        if (prompt.prompt, prompt.pictures) not in planted:
            findings.disregard(exchange)  # a small model may babble there
    return {prompt.id: logprobs_of(exchange) for prompt, exchange in zip(prompts, exchanges, strict=True)}, top


def served(*args, **fields):
    """The log probabilities of `asked` alone."""
    return asked(*args, **fields)[0]


def judged(findings, context, rows, seen, listed=None, is_served=True):
    """Judge log probabilities of `listed` tokens by prompt id against stored ones; only served ones are a verdict."""
    listed = context.inputs.top if listed is None else listed
    stored = {row.prompt.id: cut(row.logprobs, listed) for row in rows}
    in_force = context.inputs.logprob_limits(stored, listed)
    limits = in_force.limits
    found, together = checks.against_baseline(stored, seen, limits)
    baseline = context.settings.logprobs_baseline.name
    keep(context, findings, checks.figures_of(stored, seen, limits, baseline), together)
    findings.add(found)
    if together is not None and (is_served or found):
        context.record.compared.append(Compared(together.prompts, not found, in_force))
    findings.note(baseline=baseline, alarm=f"{limits.alarm:.4g}", limits=in_force.why or None, **figures(together))


def compared(client, findings, context, rows, concurrency):
    """Judge stored log probabilities against those served now."""
    prompts = [row.prompt for row in rows]
    seen, listed = asked(client, findings, context, prompts, concurrency, context.inputs.top)
    judged(findings, context, rows, seen, listed)


def scored(client, findings, context, rows, concurrency):
    """Judge what the deployment gives to the tokens of stored answers; those that it cannot score are left out."""
    able = scoring.short_rows(rows, context.inputs.stored_places)
    if not able:
        pytest.skip("no stored answer has a prompt short enough to be scored")
    given = scoring.score(client, able, IMAGES, concurrency, context.inputs.top)
    for exchange in given.exchanges:
        findings.disregard(exchange)  # its text is what would follow a whole answer
    if given.not_offered:
        pytest.skip(f"the server does not offer to score an answer (prompt_logprobs): {given.not_offered}")
    findings.note(scored=f"{given.count} of {len(rows)}")
    if given.broken:
        findings.add(checks.scoring_broke(given.broken))
    elif not given.seen:
        pytest.skip("every stored answer is refused, or has other tokens in a prompt than it was generated with")
    else:
        judged(findings, context, [row for row in able if row.prompt.id in given.seen], given.seen, given.top)


@pytest.fixture
def same_form(context, deployment):
    """The engine makes the same prompts of the requests as the reference has."""
    path, about = context.settings.logprobs_baseline, context.inputs.about_baseline
    if path is not None and about.origin is not None and has_two_forms(path):
        require_same_form(about, path, context.engine_versions(deployment, versions(context)))


def by_prompt(context, offline_logprobs, prompts):
    """The offline engine's log probabilities by prompt id; a stored run may have asked it for others."""
    seen = {prompt.id: offline_logprobs.get(prompt.id, NO_OFFLINE) for prompt in prompts}
    if context.settings.judged and NO_OFFLINE in seen.values():
        raise NotStored("the offline engine's answers to the prompts of this baseline")
    return seen


@pytest.mark.smoke
@pytest.mark.needs("logprobs_baseline")
@pytest.mark.usefixtures("same_form")
def test_logprobs_match_the_baseline(client, findings, profile, context):
    """Greedy tokens and their likeliest ones MUST be those stored for a sample of prompts, within the alarm."""
    rows = spread(context.inputs.stored_logprobs, profile.logprobs.sample)
    compared(client, findings, context, rows, profile.capability.concurrency)


@pytest.mark.smoke
@pytest.mark.needs("logprobs_baseline", "parameter prompt_logprobs")
@pytest.mark.usefixtures("same_form")
def test_stored_answers_are_scored_as_stored(client, findings, profile, context):
    """The tokens of a sample of stored answers MUST get the stored log probabilities, within the alarm."""
    rows = spread(context.inputs.stored_logprobs, profile.logprobs.sample)
    scored(client, findings, context, rows, profile.capability.concurrency)


@pytest.mark.smoke
@pytest.mark.needs("launched", "reference")
def test_reference_is_of_the_served_files(findings, context):
    """Configuration, tokenizer and small weights of the served folder MUST be those of the reference."""
    origin, folder = context.inputs.about_baseline.origin, context.preflight.folder
    other = context.observed("reference_files", list[str], lambda: other_files(folder, origin.files))
    findings.add(checks.files_are_the_references(other, origin.model))
    findings.note(files=len(origin.files))


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
    seen = served(client, findings, context, prompts, profile.capability.concurrency, MOST_TOP)
    findings.add(checks.missing(seen))
    findings.note(prompts=len(prompts))
    context.record.logprobs = [StoredLogProbs(p, seen[p.id]) for p in prompts if isinstance(seen[p.id], LogProbs)]


@pytest.mark.smoke
@pytest.mark.needs("logprobs_recording")
@pytest.mark.parametrize("condition", logprobs.CONDITIONS)
def test_recording_is_repeated(client, findings, profile, context, chance, condition):
    """A recording MUST come out the same, within the limit, one prompt at a time, many at once and without a cache."""
    known = {row.prompt.id: row.logprobs for row in context.record.logprobs}
    prompts = [row.prompt for row in context.record.logprobs]
    if not prompts:
        raise NotRun("nothing was recorded")
    concurrency, fields = logprobs.repeated(condition, chance, profile.api.without)
    seen = served(client, findings, context, prompts, concurrency, MOST_TOP, **fields)
    found, together = checks.alike(known, seen, profile.logprobs, exact=False)
    findings.add(found)
    findings.note(**figures(together))
    context.record.repeats.append(checks.repeat(condition, known, seen))


@pytest.mark.slow
@pytest.mark.needs("logprobs_baseline")
@pytest.mark.parametrize("concurrency", CONCURRENCIES)
@pytest.mark.usefixtures("same_form")
def test_all_logprobs_match_the_baseline(client, findings, context, concurrency):
    """All stored prompts MUST give the stored log probabilities within the alarm, one at a time and many at once."""
    compared(client, findings, context, context.inputs.stored_logprobs, concurrency)


@pytest.mark.slow
@pytest.mark.needs("logprobs_baseline", "parameter prompt_logprobs")
@pytest.mark.usefixtures("same_form")
def test_all_stored_answers_are_scored_as_stored(client, findings, profile, context):
    """The tokens of every stored answer with a short prompt MUST get the stored log probabilities within the alarm."""
    scored(client, findings, context, context.inputs.stored_logprobs, profile.capability.concurrency)


@pytest.mark.slow
def test_alone_and_in_a_batch(client, findings, profile, context):
    """Alone and among fifteen others, log probabilities MUST be within the limit; batch invariance: the same text."""
    prompts = spread(context.inputs.logprob_prompts, logprobs.TOGETHER)
    alone = served(client, findings, context, prompts, 1)
    together = served(client, findings, context, prompts, len(prompts))
    found, seen = checks.alike(alone, together, profile.logprobs, exact=profile.logprobs.batch_invariant)
    keep(context, findings, checks.figures_of(alone, together, profile.logprobs), seen)
    findings.add(found)
    findings.note(batch_invariant=profile.logprobs.batch_invariant, **figures(seen))


@pytest.mark.slow
@pytest.mark.needs("launched", "offline", "logprobs_baseline")
def test_offline_logprobs_match_the_baseline(offline_logprobs, findings, profile, context):
    """The offline engine MUST give the stored log probabilities for a sample of prompts, within the alarm."""
    path = context.settings.logprobs_baseline
    require_same_form(context.inputs.about_baseline, path, versions(context))
    rows = spread(context.inputs.stored_logprobs, profile.logprobs.sample)
    seen = by_prompt(context, offline_logprobs, [row.prompt for row in rows])
    judged(findings, context, rows, seen, is_served=False)


@pytest.mark.slow
@pytest.mark.needs("launched", "offline")
def test_server_gives_the_logprobs_of_the_offline_engine(offline_logprobs, client, findings, profile, context):
    """Served and offline log probabilities MUST be within the limit; where the profile says so, the texts are equal."""
    prompts = context.inputs.offline_logprob_prompts
    online = served(client, findings, context, prompts, profile.capability.concurrency, context.inputs.top)
    apart = by_prompt(context, offline_logprobs, prompts)
    found, seen = checks.alike(apart, online, profile.logprobs, exact=profile.offline.same_text)
    keep(context, findings, checks.figures_of(apart, online, profile.logprobs), seen)
    findings.add(found)
    findings.note(**figures(seen))
