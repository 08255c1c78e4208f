"""The control that schedules by priority: the order of waiting requests, kept or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from check_ids import node, short
from conftest import control_engine
from owners_clients import URGENT
from standins.fault_proxy import FaultProxy

from vlm_acceptance.engine.server import Deployment

PROFILE = "control-cpu-priority"
OPTIONS = ("-m", "slow", f"--vlm-profile={PROFILE}", node(URGENT))


@pytest.fixture(scope="module")
def by_priority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The control on a real engine of four slots that schedules by priority."""
    yield from control_engine(tmp_path_factory.mktemp("priority") / "server.log", profile=PROFILE)


def test_urgent_request_is_served_first(accept, by_priority):
    with FaultProxy(by_priority.base_url) as proxy:
        run = accept(*OPTIONS, f"--vlm-base-url={proxy.url}")
    assert [short(ident) for ident in run.ids("passed")] == [URGENT], run.out


@pytest.mark.fault("priority-ignored")
def test_engine_that_does_not_see_the_priority_is_refused(accept, by_priority, prove):
    with FaultProxy(by_priority.base_url, "priority-ignored") as proxy:
        run = accept(*OPTIONS, f"--vlm-base-url={proxy.url}")
    prove("priority-ignored", run)
    assert "priority is not obeyed" in run.messages, run.out
