"""Faults on the wire: a proxy in front of the real control engine changes one thing, and its owner refuses it."""

from __future__ import annotations

import csv
import json

import pytest
from faults import FAULTS
from owners import CROSS_SECTION, WIRE, WIRE_ERRORS, node, short
from standins.fault_proxy import FaultProxy

from vlm_acceptance.settings import ROOT

MINI = ROOT / "fixtures" / "mmmu_mini"
ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu", "--vlm-set=deadlines.health_s=3", "--vlm-soak-s=20")


def test_every_fault_has_an_owner():
    assert set(WIRE) | set(WIRE_ERRORS) == set(FAULTS)


def test_owners_accept_the_control_through_the_proxy(accept, control):
    owners = sorted({owner for owners in WIRE.values() for owner in owners} | set(CROSS_SECTION))
    with FaultProxy(control.base_url) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, owners))
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert len(run.ids("passed")) == len(owners)


@pytest.mark.parametrize("fault", [*WIRE, *WIRE_ERRORS])
def test_fault_is_met_by_its_owners(accept, control, prove, seed, whole_suite, fault):
    owners = [*WIRE.get(fault, ()), *WIRE_ERRORS.get(fault, ())]
    tests = [] if whole_suite else dict.fromkeys(map(node, [*owners, *CROSS_SECTION]))
    with FaultProxy(control.base_url, fault, seed=seed) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *tests, timeout_s=1200)
    prove(fault, run)


def test_worse_deployment_is_refused_beside_a_stored_run(accept, control, tmp_path):
    rows = [json.loads(line) for line in (MINI / "expected.jsonl").read_text("utf-8").splitlines()]
    stored = tmp_path / "stored.csv"
    with stored.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "prediction"), *((row["id"], row["answer"]) for row in rows)])
    paired = "mmmu::test_not_worse_than_the_baseline"
    args = (*ATTACHED, "--vlm-set=mmmu.early_stop=false", f"--vlm-baseline={stored}", node(paired))
    with FaultProxy(control.base_url) as proxy:
        assert accept(*args, f"--vlm-base-url={proxy.url}").refused_by == set()
    with FaultProxy(control.base_url, "answers-of-another") as proxy:
        run = accept(*args, f"--vlm-base-url={proxy.url}")
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == {paired}
