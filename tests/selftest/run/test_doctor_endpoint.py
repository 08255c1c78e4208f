"""The doctor of an endpoint: who answers, by which protocol, on which routes, with which model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.support.tls import certificate, tls_endpoint
from tests.support.wire import Answer, WireRequest, WireServer, response

from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING, examine
from vlm_acceptance.run import doctor_endpoint, profile_choice
from vlm_acceptance.run.doctor_endpoint import EndpointDoctor

Wire = Callable[[Answer], WireServer]
Found = dict[str, tuple[str, str]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a busy machine."""
    monkeypatch.setattr(doctor_endpoint, "PROBE_S", 60)


def examined(client: Client, profile: Profile | None = None, *, only_v1: bool = False) -> tuple[Found, EndpointDoctor]:
    doctor = EndpointDoctor(client, profile, profile_choice.deploying, only_v1)
    lines = [line for probe in doctor.probes() for line in examine(probe, 120)]
    return {line.check: (line.status, line.message) for line in lines}, doctor


def profile_of(model: str, **keys: object) -> Profile:
    return Profile.model_validate({"name": "p", "model": {"id": model, **keys}})


def listing(owner: str, *headers: str, absent: Iterable[str] = ()) -> Answer:
    """An endpoint of the control by `owner`, without the routes `absent`."""
    models = json.dumps({"data": [{"id": "vlm-acceptance/control", "owned_by": owner, "max_model_len": 512}]}).encode()

    def answer(request: WireRequest) -> Iterable[object]:
        if request.path in absent:
            return [response(b"{}", "404 Not Found", "application/json", *headers)]
        return [response(models if request.path == "/v1/models" else b"{}", "200 OK", "application/json", *headers)]

    return answer


def test_an_endpoint_without_a_fault_has_only_lines_that_are_ok() -> None:
    with QuickServer(Behaviour(model="vlm-acceptance/control")) as server:
        found, doctor = examined(Client(server.url))
    assert {status for status, _ in found.values()} == {OK}
    assert list(found) == [
        "connection", "server", "route /health", "route /tokenize", "route /metrics", "route /version", "models",
    ]  # fmt: skip
    assert "answers by http;" in found["connection"][1]
    assert found["server"][1] == "vLLM"
    assert "0.18.0" in found["route /version"][1]
    assert "control-cpu" in found["models"][1]
    assert doctor.proposed is None


def test_a_model_without_a_profile_gets_one_of_two_lines() -> None:
    with QuickServer(Behaviour(model="Qwen/Qwen2.5-VL-7B-Instruct")) as server:
        found, doctor = examined(Client(server.url))
    assert found["models"][0] == WARNING
    assert doctor.proposed == "name: qwen2.5-vl-7b-instruct\nmodel: {id: Qwen/Qwen2.5-VL-7B-Instruct}"
    assert "> qwen2.5-vl-7b-instruct.yaml, then --vlm-profile=qwen2.5-vl-7b-instruct.yaml" in found["models"][1]


def test_another_model_than_that_of_the_profile_is_a_failure() -> None:
    with QuickServer() as server:
        found, _ = examined(Client(server.url), profile_of("somebody/else"))
    assert found["models"][0] == FAILURE
    assert "'somebody/else' of p" in found["models"][1]


def test_a_shorter_context_than_that_of_the_profile_is_a_warning(wire: Wire) -> None:
    profile = profile_of("vlm-acceptance/control", max_model_len=4096)
    found, _ = examined(Client(wire(listing("vllm")).url), profile)
    assert found["models"][0] == WARNING
    assert "--max-model-len 4096" in found["models"][1]


def test_an_endpoint_without_models_is_a_failure(wire: Wire) -> None:
    found, doctor = examined(Client(wire(lambda _: [response(b'{"data": []}')]).url))
    assert (found["models"][0], doctor.proposed) == (FAILURE, None)


def test_another_engine_is_a_warning(wire: Wire) -> None:
    found, _ = examined(Client(wire(listing("sglang")).url))
    assert (found["server"][0], "SGLang" in found["server"][1]) == (WARNING, True)


def test_a_gateway_before_vllm_is_named_and_its_missing_routes_have_remedies(wire: Wire) -> None:
    absent = ("/health", "/tokenize", "/metrics", "/version")
    client = Client(wire(listing("vllm", "server: nginx/1.24.0", absent=absent)).url)
    found, _ = examined(client)
    assert found["server"] == (OK, "vLLM behind nginx/1.24.0")
    assert {found[f"route {path}"][0] for path in absent} == {WARNING}
    assert "endpoint.only_v1=true" in found["route /health"][1]
    behind, _ = examined(client, only_v1=True)
    assert list(behind) == ["connection", "server", "models"]


def test_an_engine_that_is_not_healthy_is_a_failure(wire: Wire) -> None:
    def answer(request: WireRequest) -> Iterable[object]:
        return [response(b"", "503 Service Unavailable")] if request.path == "/health" else listing("vllm")(request)

    found, _ = examined(Client(wire(answer).url))
    assert (found["route /health"][0], "HTTP 503" in found["route /health"][1]) == (FAILURE, True)


def test_what_cannot_be_reached_is_one_failure_and_nothing_else_is_asked(wire: Wire) -> None:
    server = wire(lambda _: [response(b"<html>", "404 Not Found", "text/html", "server: nginx")])
    found, _ = examined(Client(server.url))
    assert list(found) == ["server"]
    assert found["server"][0] == FAILURE
    assert len(server.requests) == 1


def test_a_certificate_is_dated_and_one_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    for days, status in ((3, WARNING), (30, OK)):
        file = certificate(tmp_path, days=days)
        with tls_endpoint(file) as port:
            found, _ = examined(Client(f"https://localhost:{port}", gateway=Gateway(ca_bundle=str(file))))
        assert "answers by https" in found["connection"][1]
        assert found["certificate"][0] == status
