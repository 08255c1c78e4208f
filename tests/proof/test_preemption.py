"""The control with a small cache: it preempts requests, and what goes wrong with their answers is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from check_ids import PREEMPTED, node, short
from conftest import control_engine
from owners_clients import PREEMPTING
from standins.fault_proxy import FaultProxy

from vlm_acceptance.engine.server import Deployment

PROFILE = "control-cpu-preempting"
OPTIONS = ("-m", "slow", f"--vlm-profile={PROFILE}", node(PREEMPTED))
TIMEOUT_S = 600


@pytest.fixture(scope="module")
def preempting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The control on a real engine with a small cache."""
    yield from control_engine(tmp_path_factory.mktemp("preempting") / "server.log", profile=PROFILE)


def test_right_deployment_preempts_and_is_not_refused(accept, preempting):
    with FaultProxy(preempting.base_url) as proxy:
        run = accept(*OPTIONS, f"--vlm-base-url={proxy.url}", timeout_s=TIMEOUT_S)
    assert [short(ident) for ident in run.ids("passed")] == [PREEMPTED], run.out


@pytest.mark.parametrize("fault", sorted(PREEMPTING))
def test_fault_of_preempted_requests_is_met_by_its_owner(accept, preempting, prove, fault):
    with FaultProxy(preempting.base_url, fault) as proxy:
        run = accept(*OPTIONS, f"--vlm-base-url={proxy.url}", "--vlm-soak-s=60", timeout_s=TIMEOUT_S)
    prove(fault, run)
