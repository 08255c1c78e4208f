"""Engines that are asked to end while they answer."""

from __future__ import annotations

import pytest
from check_ids import RELEASED, node
from owners_clients import ENDING

LAUNCHED = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", "-m", "smoke or slow")


def test_engine_that_cuts_connections_when_it_ends_is_not_refused(accept, stand_in_engine):
    tests = (node(ENDING), node(RELEASED))
    run = accept(*LAUNCHED, *tests, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "talks-long"})
    assert {f"tests/acceptance/{ident}" for ident in run.ids("passed")} == set(tests), run.out


@pytest.mark.fault("halves-at-the-end")
def test_engine_whose_end_closes_half_answers_as_if_they_were_whole_is_rejected(accept, stand_in_engine, prove):
    tests = (node(ENDING), node(RELEASED))
    run = accept(*LAUNCHED, *tests, f"--vlm-engine={stand_in_engine}", env={"VLM_STANDIN": "halves-at-the-end"})
    assert "an answer that looks whole (finish_reason 'length') after 1000 tokens" in run.messages, run.out
    assert "expected 2000 tokens as requested, or an error, or a closed connection" in run.messages
    prove("halves-at-the-end", run)
