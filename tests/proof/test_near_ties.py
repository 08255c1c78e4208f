"""Chance is not a fault: an engine whose rounding changes is accepted, and faults of a text are refused at it, too."""

from __future__ import annotations

import json

import pytest
from acceptance_runs import CONTROL
from check_ids import OPENAI, SAME, SAME_LOGPROBS, STOP, short
from noisy import TESTS, asked, near_ties, noisy_engine
from standins.fault_proxy import FaultProxy

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks.release import same_texts
from vlm_acceptance.client.chat import chat
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import send_all
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.exchange import Reply
from vlm_acceptance.core.spelling import PARAMS
from vlm_acceptance.run.inputs import CASES, IMAGES
from vlm_acceptance.workloads import capability

# a run sees a near-tie twice in three times
RUNS, MOST_RUNS = 2, 12
MODEL = "vlm-acceptance/control"
TIE = LogProbLimits().tie


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    with noisy_engine(tmp_path_factory.mktemp("noisy")) as url:
        yield url


@pytest.mark.part
def test_chance_is_accepted(noisy, tmp_path):
    seen = 0
    for number in range(MOST_RUNS):
        run = asked(noisy, tmp_path / str(number))
        assert (run.refused_by, len(run.ids("passed"))) == (set(), len(TESTS)), run.out
        seen += near_ties(run)
        if seen and number + 1 >= RUNS:
            break
    assert seen > 0, "nothing differed, so nothing was shown"


@pytest.mark.parametrize(
    ("fault", "magnitude", "owners"),
    [
        ("word-swapped", 1, {SAME, OPENAI, SAME_LOGPROBS}),
        ("chunk-lost", 3, {SAME}),
        ("chunk-duplicated", 3, {SAME}),
        ("text-cut", 8, {SAME, OPENAI, SAME_LOGPROBS}),
        ("stop-ignored", 1, {STOP}),
    ],
)
def test_fault_is_refused_beside_chance(noisy, tmp_path, fault, magnitude, owners):
    with FaultProxy(noisy, fault, magnitude=magnitude) as proxy:
        run = asked(proxy.url, tmp_path)
    assert owners <= {short(ident) for ident in run.refused_by}, run.out


def test_words_swapped_in_every_second_answer_are_refused_beside_chance(noisy, tmp_path):
    for seed in range(RUNS):
        with FaultProxy(noisy, "word-swapped", magnitude=0.5, seed=seed) as proxy:
            run = asked(proxy.url, tmp_path / str(seed))
        assert SAME in {short(ident) for ident in run.refused_by}, run.out


def test_served_answers_that_chance_changed_agree_with_those_of_an_exact_engine(noisy):
    rows = [json.loads(line) for line in (CONTROL.parent / "expected.jsonl").read_text("utf-8").splitlines()]
    golden = {(row["prompt"], *row["pictures"]): row["answer"] for row in rows}
    near_ties = 0
    for category in load_categories(CASES, IMAGES):
        for question in category.questions:
            urls = [png_url(picture.path) for picture in question.pictures]
            bodies = [{**body, **PARAMS} for body in capability.bodies(MODEL, question, urls)]
            served = send_all(Client(noisy), [chat(body, 120) for body in bodies], 4)
            names = [picture.path.relative_to(IMAGES).as_posix() for picture in question.pictures]
            exact = [Reply(golden[question.prompt, name], "stop", None, MODEL, 0.0) for name in names]
            same = same_texts(question.id, served, exact, TIE)
            assert same.found == []
            near_ties += same.near_ties
            # the text of another picture is no near-tie
            swapped = same_texts(question.id, served, [*exact[1:], exact[0]], TIE)
            assert len(swapped.found) >= len(exact) - 2, swapped
    assert near_ties > 0
