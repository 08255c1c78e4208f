"""Parameters that come from the profile: categories, routes, rungs."""

from __future__ import annotations

import pytest

from vlm_acceptance.cases.known_issues import KnownHere, engine_versions, load_known_issues
from vlm_acceptance.client.chat import get
from vlm_acceptance.config.options import ROOT
from vlm_acceptance.core.capability import Category
from vlm_acceptance.pytest_plugin import SUITE
from vlm_acceptance.run import summary

ISSUES = load_known_issues(ROOT / "fixtures" / "known_issues.yaml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill `category`, `route` and `rung`."""
    suite = metafunc.config.stash[SUITE]
    if "category" in metafunc.fixturenames:
        metafunc.parametrize("category", suite.categories, ids=[c.id for c in suite.categories])
    if "route" in metafunc.fixturenames:
        routes = suite.profile.capability.routes
        marks = {"url": [pytest.mark.needs("launched")]}
        metafunc.parametrize("route", [pytest.param(route, marks=marks.get(route, []), id=route) for route in routes])
    if "rung" in metafunc.fixturenames:
        metafunc.parametrize("rung", suite.rungs)


@pytest.fixture
def category_of(suite) -> dict[str, Category]:
    """Categories by id."""
    return {category.id: category for category in suite.categories}


@pytest.fixture
def known(suite, deployment, judge) -> KnownHere:
    """The known issues of this deployment's versions; one that shows is named by the test and by the verdict."""
    told = deployment.client.send(get("/version", suite.profile.deadlines.health_s))

    def report(issue) -> None:
        judge.note(known_issue=issue.sentence)
        suite.notes.setdefault("known_issues", {}).setdefault(issue.sentence, []).append(judge.test)

    return KnownHere(ISSUES, engine_versions(told, summary.versions(suite)), report)


def pytest_make_parametrize_id(val: object) -> str | None:
    """A category by its id."""
    return val.id if isinstance(val, Category) else None
