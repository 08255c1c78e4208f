"""The profile of a run without --vlm-profile: that of the endpoint or of the card, else the control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.engine.device import npu_sign
from vlm_acceptance.run import profile_choice


def by_endpoint(model: str) -> profile_choice.Chosen:
    with QuickServer(Behaviour(model=model)) as server:
        return profile_choice.profile({"vlm_base_url": server.url}, {})


def test_a_given_name_decides(tmp_path: Path) -> None:
    given = {"vlm_profile": "internvl2-2b-ascend", "vlm_base_url": "http://127.0.0.1:9"}
    assert profile_choice.profile(given, {}) == profile_choice.Chosen("internvl2-2b-ascend", "--vlm-profile")
    assert profile_choice.profile({}, {"VLM_PROFILE": "x"}) == profile_choice.Chosen("x", "VLM_PROFILE")
    assert profile_choice.profile({"vlm_profile": "y"}, {"VLM_PROFILE": "x"}).name == "y"


def test_an_endpoint_decides_by_the_model_it_serves() -> None:
    assert by_endpoint("vlm-acceptance/control").name == "control-cpu"


def test_the_base_of_several_variants_is_chosen_and_the_others_are_named() -> None:
    chosen = by_endpoint("OpenGVLab/InternVL2-2B")
    assert chosen.name == "internvl2-2b-ascend"
    assert "internvl2-2b-ascend-graph" in chosen.reason


def test_a_model_without_a_profile_needs_a_name() -> None:
    with pytest.raises(
        UsageProblem, match=r"serves \['qwen'\], which no profile deploys; .*--vlm-profile: control-cpu"
    ):
        by_endpoint("qwen")


def test_an_endpoint_that_lists_no_models_needs_a_name(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda request: [response(b"<html>", "401 Unauthorized")])
    with pytest.raises(UsageProblem, match=r"does not list models \(HTTP 401\); name the profile"):
        profile_choice.profile({"vlm_base_url": server.url}, {})


def test_the_endpoint_is_asked_with_the_key(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda request: [response(b'{"data": [{"id": "vlm-acceptance/control"}]}')])
    given = {"vlm_base_url": server.url + "/v1/", "vlm_api_key_env": "MY_KEY"}
    assert profile_choice.profile(given, {"MY_KEY": "sk-1"}).name == "control-cpu"
    assert (server.requests[0].path, server.requests[0].headers["authorization"]) == ("/v1/models", "Bearer sk-1")


def test_an_endpoint_that_does_not_answer_is_reported_as_unreachable() -> None:
    chosen = profile_choice.profile({"vlm_base_url": "http://127.0.0.1:9"}, {})
    assert "nothing answers at http://127.0.0.1:9" in chosen.unreachable


def test_a_machine_with_an_npu_does_not_get_the_control(tmp_path: Path) -> None:
    tool = tmp_path / "npu-smi"
    tool.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    tool.chmod(0o755)
    chosen = profile_choice.profile({}, {"PATH": str(tmp_path)})
    assert chosen.name == "internvl2-2b-ascend"
    assert "an NPU was detected" in chosen.reason


def test_a_machine_without_an_npu_gets_the_control() -> None:
    expected = "internvl2-2b-ascend" if npu_sign(env={}) else "control-cpu"
    assert profile_choice.profile({}, {"PATH": ""}).name == expected
