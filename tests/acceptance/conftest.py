"""Parameters that come from the profile, and the judgement of capability questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from vlm_acceptance.cases.golden_answers import by_prompt
from vlm_acceptance.cases.known_issues import KnownHere, load_known_issues
from vlm_acceptance.checks import latency as checks
from vlm_acceptance.checks import waiting
from vlm_acceptance.checks.bars import read_in_large_form
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.waiting import in_words
from vlm_acceptance.run import summary
from vlm_acceptance.run.stash_keys import CONTEXT
from vlm_acceptance.workloads import capability, dialogues, latency, load

ISSUES = load_known_issues(ROOT / "fixtures" / "known_issues.yaml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill `category`, `route`, `stage` and `long_length`: lengths beyond the first, which smoke sends."""
    context = metafunc.config.stash[CONTEXT]
    if "category" in metafunc.fixturenames:
        metafunc.parametrize("category", context.inputs.categories, ids=[c.id for c in context.inputs.categories])
    if "route" in metafunc.fixturenames:
        routes = context.profile.capability.routes
        marks = {"url": [pytest.mark.needs("launched")]}
        metafunc.parametrize("route", [pytest.param(route, marks=marks.get(route, []), id=route) for route in routes])
    if "long_length" in metafunc.fixturenames:
        wanted = dialogues.lengths(context.profile.challenge.long_prompts, context.profile.model.max_model_len)
        metafunc.parametrize("long_length", wanted[1:] or ["none"])
    if "stage" in metafunc.fixturenames:
        metafunc.parametrize("stage", context.stages)


@pytest.fixture
def chance(context, request) -> Chance:
    """The random choices of this test: the seed of the run decides them, whatever else is run."""
    return Chance(f"{context.settings.seed} {request.node.nodeid.rpartition('/')[2]}")


@pytest.fixture
def tie(profile):
    """How far apart two tokens may be where two greedy texts first differ; None where texts must be equal."""
    return None if profile.logprobs.batch_invariant else profile.logprobs.tie


@pytest.fixture
def category_of(context) -> dict[str, Category]:
    """Categories by id."""
    return {category.id: category for category in context.inputs.categories}


@pytest.fixture
def judge(context, findings, profile) -> Callable[..., bool]:
    """Judges the replies to a question and adds findings and figures; True when the question is below its bar.

    `is_large`: the question was asked about pictures of many tiles.
    """

    def judge(category, question, replies, is_large=False) -> bool:
        verdict = capability.judged(profile, category, question, replies, is_large=is_large)
        wanted, late = profile.capability, sum(found.is_starved for found in verdict.findings)
        # once it is calibrated, the bar of the large form decides
        if is_large and not wanted.calibrated and category.id not in wanted.report_only:
            small = context.record.counted.get(capability.key_of(category, question))
            findings.add(read_in_large_form(question.id, small, verdict.right + late))
        findings.add(verdict.findings)
        context.record.gallery.add_all(findings.test, category.id, question, replies, verdict.wrong)
        route_test = findings.test if "route" in findings.properties else ""
        if not late:  # otherwise it is not known how many are right
            context.record.count(verdict.key, verdict.right, len(replies), route_test)
        findings.note(**{f"{name}{'_large' if is_large else ''}": figure for name, figure in verdict.figures.items()})
        return len(verdict.findings) > late

    return judge


@pytest.fixture
def judge_pictures(context, judge) -> Callable[..., set[str]]:
    """Judges exchanges by the names of their pictures in `similar_pictures`; returns the categories below their bar."""

    def judge_pictures(exchanges, is_large=False) -> set[str]:
        below = set()
        for category in context.inputs.categories:
            for question in category.questions:
                replies = [exchanges[f"{category.id}/{picture.path.name}"].reply for picture in question.pictures]
                below |= {category.id} if judge(category, question, replies, is_large) else set()
        return below

    return judge_pictures


@pytest.fixture
def measure_latency(context, client, findings) -> Callable[..., None]:
    """Sends bodies one after another, the first one cold; judges the medians of the others and reports the row.

    A median over its budget that waiting for a processor explains is an error: the machine was busy.
    """

    def measure_latency(name, bodies, budget) -> None:
        findings.about(name)
        measured = latency.measure(client, bodies)
        if isinstance(measured, NoReply):
            found = Finding(kinds.LATENCY_NO_ANSWER, "a streamed answer", str(measured), name)
            findings.add([found], measured.exchange)
            return
        findings.add(checks.within(budget, measured.warm, name), measured.last)
        findings.note(**asdict(measured.row), waited=in_words(measured.waits))
        context.record.latency[name] = measured.row
        context.record.latency_figures[name] = latency.figures_of(measured, budget)
        context.store.observation("latency", {"categories": context.record.latency_figures})
        context.record.waits += measured.waits
        findings.excuse(checks.starved(budget, measured.warm, name))

    return measure_latency


@pytest.fixture
def jobs(client, profile, context):
    """Every capability picture, every second one in many tiles too, and some texts, shuffled, half of them streamed."""
    known = by_prompt(context.inputs.golden_answers)
    model, categories, report_only = client.model_id, context.inputs.categories, profile.capability.report_only
    large = load.large_jobs(model, categories, context.tile_rule, report_only) if context.sends_large_pictures else []
    return load.jobs(model, categories, known, report_only, large=large)


@pytest.fixture
def least_right(profile, context):
    """Right answers of eight that a question needs under load: no more than it had alone."""
    return capability.load_bar(profile, context.inputs.categories, context.record.counted)


@pytest.fixture
def stand(findings):
    """Adds the findings about times that stand without what waiting for a processor explains; the rest is excused."""

    def stand(found, rest, waits):
        standing, excused = waiting.standing(found, rest, waits)
        findings.add(standing)
        findings.excuse(excused)

    return stand


@pytest.fixture
def known(context, deployment, findings) -> KnownHere:
    """The known issues of this deployment's versions; the test and the verdict name those that occur."""

    def report(issue) -> None:
        findings.note(known_issue=issue.sentence)
        tests = context.record.known_issues.setdefault(issue.sentence, [])
        if findings.test not in tests:
            tests.append(findings.test)

    installed = summary.versions(context)
    stated = {} if deployment.launched else context.profile.versions
    return KnownHere(ISSUES, context.engine_versions(deployment, installed), report, stated)


def pytest_make_parametrize_id(val: object) -> str | None:
    """A category by its id."""
    return val.id if isinstance(val, Category) else None
