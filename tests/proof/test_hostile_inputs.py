"""An engine that edge inputs end, and addresses that a restricted deployment must not fetch."""

from __future__ import annotations

import json

import pytest
from check_ids import EDGE_ADDRESSES, TRUNCATED, node

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile

CONTROL = ("--vlm-profile=control-cpu", "--vlm-set=offline.enabled=false", "-m", "smoke or slow")
RESTRICTED = "--vlm-set=model.media_domains=[media.example]"
ADDRESSES = node("edge_inputs::test_private_address_is_refused")
NOT_ASKED = node("edge_inputs::test_private_address_is_not_asked")


@pytest.mark.fault("dies-of-broken-picture")
def test_engine_that_a_truncated_picture_ends_is_rejected(accept, stand_in_engine, prove):
    run = accept(
        *CONTROL,
        *(f"--vlm-engine={stand_in_engine}", node(TRUNCATED)),
        # two probes of readiness and eight signs come before the broken picture
        env={"VLM_STANDIN": "dies-in-request", "VLM_STANDIN_AFTER": "10"},
    )
    prove("dies-of-broken-picture", run)
    assert run.code == 1, run.out
    assert run.refused_by == {"test_edge_inputs.py::test_edge_input[png-truncated]"}
    assert "edge_input.died" in run.out


@pytest.mark.fault("asks-any-address")
def test_engine_that_asks_any_address_is_rejected_where_domains_are_restricted(accept, prove):
    run = accept(*CONTROL, RESTRICTED, f"{ADDRESSES}[loopback]", NOT_ASKED)
    prove("asks-any-address", run)
    assert run.code == 1, run.out
    assert len(run.refused_by) == 2
    assert "edge_input.fetched" in run.out


def test_engine_that_asks_allowed_domains_alone_is_not_rejected(accept):
    args = load_profile("control-cpu", PROFILES).profile.engine.args
    allowed = json.dumps([*args, "--allowed-media-domains", "media.example"])
    run = accept(*CONTROL, RESTRICTED, f"--vlm-set=engine.args={allowed}", ADDRESSES, NOT_ASKED)
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert len(run.ids("passed")) == 5


@pytest.mark.fault("answers-every-address")
def test_engine_that_answers_about_pictures_it_cannot_have_is_rejected(accept, stand_in_engine, prove):
    tests = map(node, EDGE_ADDRESSES)
    run = accept(*CONTROL, *(f"--vlm-engine={stand_in_engine}", *tests), env={"VLM_STANDIN": "newer"})
    prove("answers-every-address", run)
    assert run.code == 1, run.out
