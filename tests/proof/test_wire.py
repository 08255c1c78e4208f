"""Faults on the wire: a proxy in front of the real control engine changes one thing, and its owner refuses it."""

from __future__ import annotations

import csv
import json

import pytest
from check_ids import PAIRED, SCORE, node
from faults import FAULTS
from owners import CROSS_SECTION, KEYED, STORED, WIRE, WIRE_ERRORS
from standins.fault_proxy import FaultProxy

from vlm_acceptance.config.paths import ROOT

MINI = ROOT / "fixtures" / "mmmu_mini"
# faults that need more than the control and its profile: tests of their own below
APART = KEYED | STORED
ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu", "--vlm-set=deadlines.health_s=3", "--vlm-soak-s=20")


def test_every_fault_has_an_owner():
    assert set(WIRE) | set(WIRE_ERRORS) == set(FAULTS)


@pytest.fixture
def attached(tmp_path):
    """Options of a run at an endpoint that would record its numbers, too."""
    return (*ATTACHED, f"--vlm-record-baseline={tmp_path / 'numbers.jsonl'}")


def test_owners_accept_the_control_through_the_proxy(accept, control, attached):
    owners = sorted({owner for fault in WIRE.keys() - APART for owner in WIRE[fault]} | set(CROSS_SECTION))
    with FaultProxy(control.base_url) as proxy:
        run = accept(*attached, f"--vlm-base-url={proxy.url}", *map(node, owners), timeout_s=850)
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert len(run.ids("passed")) == len(owners)


@pytest.mark.parametrize("fault", [fault for fault in (*WIRE, *WIRE_ERRORS) if fault not in APART])
def test_fault_is_met_by_its_owners(accept, control, attached, prove, seed, whole_suite, fault):
    owners = [*WIRE.get(fault, ()), *WIRE_ERRORS.get(fault, ())]
    tests = [] if whole_suite else dict.fromkeys(map(node, [*owners, *CROSS_SECTION]))
    with FaultProxy(control.base_url, fault, seed=seed) as proxy:
        run = accept(*attached, f"--vlm-base-url={proxy.url}", *tests, timeout_s=850)
    prove(fault, run)


@pytest.mark.parametrize("fault", sorted(KEYED))
def test_fault_before_an_engine_with_a_key_is_met_by_its_owners(accept, keyed_control, prove, seed, whole_suite, fault):
    env = {"PROOF_API_KEY": keyed_control.client.api_key}
    args = (*ATTACHED, "--vlm-api-key-env=PROOF_API_KEY")
    tests = dict.fromkeys(map(node, [*WIRE[fault], *CROSS_SECTION]))
    with FaultProxy(keyed_control.base_url) as proxy:
        run = accept(*args, f"--vlm-base-url={proxy.url}", *tests, env=env)
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(tests)), run.out
    with FaultProxy(keyed_control.base_url, fault, seed=seed) as proxy:
        run = accept(*args, f"--vlm-base-url={proxy.url}", *([] if whole_suite else tests), env=env, timeout_s=850)
    assert env["PROOF_API_KEY"] not in run.out
    prove(fault, run)


@pytest.mark.fault("answers-worse-than-stored")
def test_worse_deployment_is_refused_beside_a_stored_run(accept, control, prove, seed, tmp_path):
    rows = [json.loads(line) for line in (MINI / "expected.jsonl").read_text("utf-8").splitlines()]
    stored = tmp_path / "stored.csv"
    with stored.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "prediction"), *((row["id"], row["answer"]) for row in rows)])
    args = (*ATTACHED, "--vlm-set=mmmu.early_stop=false", f"--vlm-baseline={stored}", node(PAIRED), node(SCORE))
    with FaultProxy(control.base_url) as proxy:
        assert accept(*args, f"--vlm-base-url={proxy.url}").refused_by == set()
    with FaultProxy(control.base_url, "answers-worse-than-stored", seed=seed) as proxy:
        run = accept(*args, f"--vlm-base-url={proxy.url}")
    assert run.code == 1, run.out
    prove("answers-worse-than-stored", run)
