"""Deployments that know only what was asked before: a recorded run, a table of answers, a blind model."""

from __future__ import annotations

import owners
import pytest
from acceptance_runs import run_suite
from check_ids import CARD, CHINESE, GOLDEN, NEW_PICTURES, OCR, SIMILAR, TILES, node
from faults_stored import Store, by_content, lookup_table
from standins.fault_proxy import FaultProxy
from test_mutants import broken
from test_wire import ATTACHED

from vlm_acceptance.run.inputs import IMAGES

# nothing listens there
NO_ENGINE = "http://127.0.0.1:9"
# what the record answers rightly: it knows these pictures and texts
KNOWN = (OCR, CARD, CHINESE, GOLDEN, SIMILAR, TILES)
REPLAYED = owners.PROCESS["replayed"]
TESTS = tuple(map(node, (*KNOWN, *REPLAYED)))


@pytest.fixture(scope="module")
def record(control, tmp_path_factory) -> Store:
    """The answers of a run that accepts all of TESTS."""
    store = Store(by_content)
    with FaultProxy(control.base_url, stages=store.recording()) as proxy:
        run = run_suite(tmp_path_factory.mktemp("recorded"), *ATTACHED, f"--vlm-base-url={proxy.url}", *TESTS)
    assert (run.refused_by, run.ids("error")) == (set(), set()), run.out
    return store


@pytest.mark.fault("replayed")
def test_replayed_run_is_refused_by_what_is_new(record, accept, prove):
    with FaultProxy(NO_ENGINE, stages=record.replaying()) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *TESTS)
    prove("replayed", run)
    assert run.code == 1, run.out
    # the record is a good one: what it knows is accepted
    assert {node(test).rpartition("/")[2] for test in KNOWN} <= run.ids("passed"), run.out
    assert "prompt tokens" in run.messages


@pytest.mark.fault("lookup-table")
def test_table_of_published_answers_is_refused_by_new_pictures(accept, control, prove):
    tests = map(node, (*KNOWN, NEW_PICTURES))
    with FaultProxy(control.base_url, stages=lookup_table(IMAGES.rglob("*.png"))) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *tests)
    prove("lookup-table", run)
    assert run.code == 1, run.out
    assert {node(test).rpartition("/")[2] for test in KNOWN} <= run.ids("passed"), run.out


@pytest.mark.fault("blind-to-new-pictures")
def test_model_that_sees_nothing_is_refused_by_new_pictures_offline_too(accept, tmp_path, prove):
    blind, _ = broken("blind", tmp_path)
    tests = map(node, owners.PROCESS["blind-to-new-pictures"])
    run = accept("--vlm-profile=control-cpu", *blind, *tests, timeout_s=850)
    prove("blind-to-new-pictures", run)
    assert run.code == 1, run.out
