"""Faults on the wire: a proxy in front of the real control engine changes one thing, and its owner refuses it."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import first_day
import pytest
from acceptance_runs import Run, run_suite
from check_ids import CAN_BE_RECORDED, LOGPROBS, PAIRED, RECORDED, SCORE, node
from faults import FAULTS
from first_day import FIRST_DAY
from owners import CROSS_SECTION, KEYED, STORED, WIRE, WIRE_ERRORS
from owners_clients import LADDER, PREEMPTING, PRIORITY
from standins.fault_proxy import FaultProxy

from vlm_acceptance.config.paths import ROOT

MINI = ROOT / "fixtures" / "mmmu_mini"
# faults with tests of their own below: they need more than the control and its profile
APART = KEYED | STORED | LADDER | PREEMPTING | PRIORITY
ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu", "--vlm-set=deadlines.health_s=3", "--vlm-soak-s=20")


# checks that measure times or counters of the engine: they would also measure another run
TIMED = (
    *("latency::", "load::", "leaving::", "capacity::", "scheduling::"),
    "pictures::test_long_similar_pictures_hit_the_caches",
)
ATTACHED_FAULTS = [fault for fault in (*WIRE, *WIRE_ERRORS) if fault not in APART]


def owners_of(fault: str) -> tuple[str, ...]:
    return (*WIRE.get(fault, ()), *WIRE_ERRORS.get(fault, ()))


def runs_alone(fault: str) -> bool:
    """Whether a check meant for this fault needs the engine alone."""
    return any(owner.startswith(TIMED) for owner in owners_of(fault))


def attached(folder: Path) -> tuple[str, ...]:
    """Options of a run at an endpoint that would record its log probabilities, too."""
    return (*ATTACHED, f"--vlm-record-baseline={folder / 'logprobs.jsonl'}")


def test_every_fault_has_an_owner():
    assert set(WIRE) | set(WIRE_ERRORS) == set(FAULTS)


def test_owners_accept_the_control_through_the_proxy(accept, control, tmp_path):
    owners = sorted({owner for fault in WIRE.keys() - APART for owner in WIRE[fault]} | set(CROSS_SECTION))
    with FaultProxy(control.base_url) as proxy:
        run = accept(*attached(tmp_path), f"--vlm-base-url={proxy.url}", *map(node, owners), timeout_s=850)
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert len(run.ids("passed")) == len(owners)


@pytest.fixture(scope="module")
def run_on(control, seed, whole_suite, tmp_path_factory):
    """`run_on(fault)`: a run at a proxy of its own, of the checks meant for the fault and the cross-section.

    On the first day the reference takes the place of the cross-section.
    """
    more = (LOGPROBS,) if FIRST_DAY else CROSS_SECTION

    def run(fault: str) -> Run:
        folder = tmp_path_factory.mktemp(fault)
        first = [CAN_BE_RECORDED] if set(owners_of(fault)) & set(RECORDED) else []
        tests = [] if whole_suite else dict.fromkeys(map(node, [*first, *owners_of(fault), *more]))
        with FaultProxy(control.base_url, fault, seed=seed) as proxy:
            run = run_suite(folder, *attached(folder), f"--vlm-base-url={proxy.url}", *tests, timeout_s=850)
        first_day.note(fault, run)
        return run

    return run


@pytest.fixture(scope="module")
def runs(request, run_on, whole_suite):
    """Runs that share the engine two at a time: one starts or waits while the other asks. A whole suite runs alone."""
    chosen = [item for item in request.session.items if item.originalname == "test_fault_is_met_by_its_owners"]
    faults = [item.callspec.params["fault"] for item in chosen]
    pool = ThreadPoolExecutor(1 if whole_suite else 2)
    yield {fault: pool.submit(run_on, fault) for fault in faults if not runs_alone(fault)}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", sorted(ATTACHED_FAULTS, key=runs_alone))
def test_fault_is_met_by_its_owners(prove, run_on, runs, fault):
    if fault in runs:
        run = runs[fault].result()
    else:
        wait(runs.values())
        run = run_on(fault)
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
