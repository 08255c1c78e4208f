"""A resource is made once; its failure is raised once."""

from __future__ import annotations

import pytest

from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, NotRun
from vlm_acceptance.run.lazy import OnceResource


class Maker:
    """Counts how often it is called; fails with `problem` if there is one."""

    def __init__(self, problem: BaseException | None = None) -> None:
        self.calls = 0
        self.problem = problem

    def __call__(self) -> str:
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        return "made"


def test_a_resource_is_made_once() -> None:
    maker = Maker()
    resource = OnceResource(maker)
    assert (resource.tried, resource.value) == (False, None)
    resource.prepare()
    assert [resource.get(), resource.get(), maker.calls] == ["made", "made", 1]


def test_a_failure_is_raised_to_the_first_who_asks_also_when_it_was_prepared() -> None:
    maker = Maker(EnvironmentProblem("no card\nmore"))
    resource = OnceResource(maker)
    resource.prepare()
    assert (resource.tried, resource.error) == (True, None)  # nobody has seen it yet
    with pytest.raises(EnvironmentProblem, match="no card"):
        resource.get()
    with pytest.raises(NotRun, match="^no card$"):
        resource.get()
    assert (resource.error, maker.calls) == (maker.problem, 1)


@pytest.mark.parametrize("bug", [KeyError("x"), pytest.fail.Exception("a time-out of pytest")])
def test_a_bug_is_ours_and_starts_nothing_again(bug: BaseException) -> None:
    maker = Maker(bug)
    resource = OnceResource(maker)
    with pytest.raises(HarnessProblem) as raised:
        resource.get()
    assert raised.value.__cause__ is bug
    with pytest.raises(NotRun):
        resource.get()
    assert maker.calls == 1


def test_an_interrupt_is_passed_on_and_leaves_the_resource_to_be_made() -> None:
    maker = Maker(KeyboardInterrupt())
    resource = OnceResource(maker)
    with pytest.raises(KeyboardInterrupt):
        resource.get()
    assert (resource.tried, resource.error) == (True, None)
    maker.problem = None
    assert resource.get() == "made"
