"""A server of the older forms `guided_*` is accepted when it obeys them; the engine here has none."""

from __future__ import annotations

from check_ids import node
from faults_structured import guided_obeyed
from owners_clients import STRUCTURED
from standins.fault_proxy import FaultProxy

ATTACHED = ("-m", "smoke", "--vlm-profile=control-cpu")


def test_guided_forms_that_are_offered_and_obeyed_are_accepted(accept, control):
    tests = STRUCTURED["guided-error"]
    with FaultProxy(control.base_url, stages=guided_obeyed()) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, tests))
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(tests)), run.out
    assert [test["properties"]["offered"] for test in run.summary["tests"]] == ["yes"] * len(tests)
