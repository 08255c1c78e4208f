"""The profile of a run without --vlm-profile: that of the endpoint or of the card, else the control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.support.tls import banner_server, certificate, tls_endpoint
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.engine import endpoint
from vlm_acceptance.engine.device import npu_sign
from vlm_acceptance.run import profile_choice


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of a busy machine."""
    monkeypatch.setattr(endpoint, "PROBE_S", 30)
    monkeypatch.setattr(endpoint, "AGAIN_S", 30)


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


def test_an_endpoint_that_refuses_without_a_key_names_the_option(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda request: [response(b"<html>", "401 Unauthorized")])
    with pytest.raises(UsageProblem, match=r"demands a key \(HTTP 401 .*--vlm-api-key-env=NAME"):
        profile_choice.profile({"vlm_base_url": server.url}, {})


def test_the_endpoint_is_asked_with_the_key(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda request: [response(b'{"data": [{"id": "vlm-acceptance/control"}]}')])
    given = {"vlm_base_url": server.url + "/v1/", "vlm_api_key_env": "MY_KEY"}
    assert profile_choice.profile(given, {"MY_KEY": "sk-1"}).name == "control-cpu"
    assert (server.requests[0].path, server.requests[0].headers["authorization"]) == ("/v1/models", "Bearer sk-1")


def test_an_endpoint_that_does_not_answer_is_reported_as_unreachable() -> None:
    chosen = profile_choice.profile({"vlm_base_url": "http://127.0.0.1:9"}, {})
    assert "nothing answers at http://127.0.0.1:9" in chosen.unreachable


def by_url(url: str, **more: object) -> profile_choice.Chosen:
    return profile_choice.profile({"vlm_base_url": url, **more}, {})


def test_a_model_without_a_profile_gets_one_of_two_lines() -> None:
    with pytest.raises(UsageProblem, match=r"'model: \{id: some/qwen\}' > qwen.yaml, and give --vlm-profile=qwen.yaml"):
        by_endpoint("some/qwen")


def test_a_web_server_is_no_endpoint(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda _: [response(b"<title>Home</title>", "404 Not Found", "text/html", "server: nginx")])
    with pytest.raises(UsageProblem, match=r"is nginx, .*'Home', which lists no models .*the address of the vLLM"):
        by_url(server.url)


def test_a_gateway_without_its_server_is_no_mistake_of_the_options(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda _: [response(b"", "502 Bad Gateway", "text/html", "server: nginx")])
    assert "behind it does not answer (HTTP 502)" in by_url(server.url).unreachable


def test_an_endpoint_without_a_model_is_no_mistake_of_the_options(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda _: [response(b'{"data": []}')])
    assert "lists no model" in by_url(server.url).unreachable


def test_http_to_a_server_of_tls_names_the_right_url(tmp_path: Path) -> None:
    with (
        tls_endpoint(certificate(tmp_path)) as port,
        pytest.raises(UsageProblem, match=f"give the URL https://localhost:{port}"),
    ):
        by_url(f"http://localhost:{port}")


@pytest.mark.parametrize("named", [{}, {"vlm_profile": "control-cpu"}])
def test_https_to_a_server_of_plain_http_names_the_right_url(named: dict[str, str]) -> None:
    with (
        banner_server(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as port,
        pytest.raises(UsageProblem, match=f"give the URL http://127.0.0.1:{port}"),
    ):
        by_url(f"https://127.0.0.1:{port}", **named)


@pytest.mark.parametrize("named", [{}, {"vlm_profile": "control-cpu"}])
def test_a_certificate_that_is_not_trusted_names_the_option(tmp_path: Path, named: dict[str, str]) -> None:
    file = certificate(tmp_path)
    with tls_endpoint(file) as port:
        url = f"https://localhost:{port}"
        with pytest.raises(UsageProblem, match=r"--vlm-set=endpoint\.ca_bundle=FILE"):
            by_url(url, **named)
        assert by_url(url, vlm_set=[f"endpoint.ca_bundle={file}"], **named).name == "control-cpu"


def test_headers_of_the_options_are_sent_to_choose_the_profile(wire: Callable[[Answer], WireServer]) -> None:
    server = wire(lambda _: [response(b'{"data": [{"id": "vlm-acceptance/control"}]}')])
    given = {"vlm_base_url": server.url, "vlm_set": ["endpoint.headers={X-Team: TEAM}"]}
    assert profile_choice.profile(given, {"TEAM": "blue"}).name == "control-cpu"
    assert server.requests[0].headers["x-team"] == "blue"


def test_the_plan_of_a_named_profile_reaches_no_endpoint() -> None:
    given = {"vlm_profile": "control-cpu", "vlm_base_url": "https://no.such.host.invalid", "vlm_plan": True}
    assert profile_choice.profile(given, {}) == profile_choice.Chosen("control-cpu", "--vlm-profile")


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
