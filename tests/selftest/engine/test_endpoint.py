"""What answers at a URL is named, and every reason why it cannot be tested comes with its remedy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.proof.standins.quick_server import QuickServer
from tests.support.tls import banner_server, certificate, tls_endpoint
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.engine import endpoint
from vlm_acceptance.engine.endpoint import MODELS, Obstacle
from vlm_acceptance.engine.server import attach

Wire = Callable[[Answer], WireServer]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of a busy machine."""
    monkeypatch.setattr(endpoint, "PROBE_S", 30)
    monkeypatch.setattr(endpoint, "AGAIN_S", 30)


def obstacle(url: str, **given: object) -> Obstacle:
    client = Client(url, **given)
    found = endpoint.obstacle(client, client.send(get(MODELS, endpoint.PROBE_S)))
    assert found is not None
    return found


def answered(wire: Wire, *parts: object, path: str = "", **given: object) -> Obstacle:
    """The obstacle of a server that gives each request this response."""
    return obstacle(wire(lambda _: [response(*parts)]).url + path, **given)


def test_an_endpoint_that_lists_models_has_no_obstacle() -> None:
    with QuickServer() as server:
        client = Client(server.url)
        assert endpoint.obstacle(client, client.send(get(MODELS, 30))) is None


def test_https_to_a_server_of_plain_http_names_the_other_url_and_sends_it_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "PROBE_S", 0.3)
    with QuickServer() as server:
        url = server.url.replace("http:", "https:")
        found = obstacle(url, api_key="secret")
        assert found == endpoint.tls_obstacle(Client(url, "secret"))
        assert server.seen
        assert all("authorization" not in request.headers for request in server.seen)
    assert (found.check, found.by_option) == ("protocol", True)
    assert str(found).endswith(f"give the URL {server.url}")


def test_http_to_a_server_of_tls_names_the_other_url(tmp_path: Path) -> None:
    with tls_endpoint(certificate(tmp_path)) as port:
        found = obstacle(f"http://localhost:{port}")
    assert (found.check, found.by_option) == ("protocol", True)
    assert str(found).endswith(f"give the URL https://localhost:{port}")


@pytest.mark.parametrize(
    "page",
    [
        b"<html>400 The plain HTTP request was sent to HTTPS port",
        b"Client sent an HTTP request to an HTTPS server.",
        b"You're speaking plain HTTP to an SSL-enabled server port.",
    ],
)
def test_a_gateway_that_wants_tls_names_the_other_url(wire: Wire, page: bytes) -> None:
    found = answered(wire, page, "400 Bad Request", "text/html", "server: nginx/1.24.0")
    assert found.check == "protocol"
    assert "give the URL https://127.0.0.1" in found.remedy


def test_a_certificate_that_is_not_trusted_has_the_option_as_its_remedy(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    with tls_endpoint(file) as port:
        url = f"https://localhost:{port}"
        found = obstacle(url)
        assert found == endpoint.tls_obstacle(Client(url))
        trusting = Client(url, gateway=Gateway(ca_bundle=str(file)))
        assert trusting.send(get(MODELS, 30)).status == 200
        assert endpoint.tls_obstacle(trusting) is None
        assert 29 < (endpoint.certificate_ends_s(trusting) or 0) / endpoint.DAY_S < 30
    assert (found.check, found.by_option) == ("certificate", True)
    assert "self" in found.seen
    assert "--vlm-set=endpoint.ca_bundle=FILE" in found.remedy


def test_a_certificate_for_another_name_says_so(tmp_path: Path) -> None:
    file = certificate(tmp_path, "DNS:elsewhere.example")
    with tls_endpoint(file) as port:
        found = obstacle(f"https://localhost:{port}", gateway=Gateway(ca_bundle=str(file)))
    assert found.remedy == "give the URL with a name that the certificate is for"


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("nothing\n")
    with tls_endpoint(certificate(tmp_path)) as port:
        found = obstacle(f"https://localhost:{port}", gateway=Gateway(ca_bundle=str(wrong)))
    assert (found.check, str(wrong) in found.seen) == ("certificate", True)


def test_a_server_of_another_protocol_is_named() -> None:
    with banner_server(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        found = obstacle(f"http://127.0.0.1:{port}")
    assert (found.check, found.by_option) == ("server", True)
    assert "SSH-2.0" in found.seen


def test_a_server_that_never_answers_is_no_matter_of_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PROBE_S", 0.3)
    with banner_server(b"") as port:
        found = obstacle(f"http://127.0.0.1:{port}")
    assert (found.check, found.by_option) == ("connection", False)
    assert "does not answer" in found.seen


def test_a_port_without_a_server_is_no_matter_of_options() -> None:
    found = obstacle("http://127.0.0.1:9")
    assert (found.check, found.by_option) == ("connection", False)
    assert str(found).startswith("nothing answers at http://127.0.0.1:9: ")


def test_a_web_server_is_named_by_header_and_page(wire: Wire) -> None:
    page = b"<html><head><title>Welcome to nginx!</title></head>"
    found = answered(wire, page, "404 Not Found", "text/html", "server: nginx/1.24.0")
    assert (found.check, found.by_option) == ("server", True)
    assert "nginx/1.24.0, a gateway or web server with the page 'Welcome to nginx!'" in found.seen
    assert "HTTP 404" in found.seen


def test_a_gateway_without_its_server_is_no_matter_of_options(wire: Wire) -> None:
    found = answered(wire, b"<html>", "502 Bad Gateway", "text/html", "server: nginx")
    assert (found.check, found.by_option) == ("server", False)
    assert "behind it does not answer (HTTP 502)" in found.seen


@pytest.mark.parametrize(("key", "does"), [(None, "demands a key"), ("wrong", "refuses the key")])
def test_a_key_that_lacks_names_the_option(wire: Wire, key: str | None, does: str) -> None:
    found = answered(wire, b"{}", "401 Unauthorized", api_key=key)
    assert (found.check, does in found.seen) == ("key", True)
    assert "--vlm-api-key-env=NAME" in found.remedy


@pytest.mark.parametrize(
    ("location", "check", "named"),
    [
        ("https://vlm.example/v1/models", "protocol", "https://vlm.example"),
        ("/login?next=x", "server", "/login"),
    ],
)
def test_a_redirection_names_where_it_leads(wire: Wire, location: str, check: str, named: str) -> None:
    found = answered(wire, b"", "301 Moved", "text/html", f"location: {location}")
    assert found.check == check
    assert found.remedy.endswith(named)


def test_a_url_that_goes_on_after_the_endpoint_names_the_endpoint() -> None:
    with QuickServer() as server:
        found = obstacle(f"{server.url}/docs")
        assert found.remedy == f"give the URL {server.url}"


@pytest.mark.parametrize(
    ("owner", "headers", "says"),
    [
        ("vllm", ["server: uvicorn"], "vLLM"),
        ("vllm", ["server: nginx"], "vLLM behind nginx"),
        ("vllm", ["server: uvicorn", "x-kong-proxy-latency: 1"], "vLLM behind Kong"),
        ("sglang", [], "SGLang"),
        ("library", [], "Ollama"),
        ("somebody", ["server: uvicorn"], "a server named 'uvicorn'"),
        ("", [], "a server without a name"),
    ],
)
def test_who_answers_is_read_from_headers_and_models(wire: Wire, owner: str, headers: list[str], says: str) -> None:
    body = f'{{"data": [{{"id": "m", "owned_by": "{owner}"}}]}}'.encode()
    server = wire(lambda _: [response(body, "200 OK", "application/json", *headers)])
    assert str(endpoint.server_of(Client(server.url).send(get(MODELS, 30)))) == says


@pytest.mark.parametrize("body", [b"[]", b'{"data": []}', b'{"data": [{"owned_by": 7}]}', b'{"data": [7]}', b"\xff"])
def test_a_strange_list_of_models_names_nobody(wire: Wire, body: bytes) -> None:
    server = wire(lambda _: [response(body)])
    assert endpoint.server_of(Client(server.url).send(get(MODELS, 30))).engine == ""


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b-instruct"),
        ("null", "null"),
        ('it\'s: "odd" %s\\n', "it-s-odd-s-n"),
        ("模型", "my-model"),
        ("1.5", "1.5"),
        ("org/On", "on"),
    ],
)
def test_two_lines_are_a_profile_of_that_model(model: str, name: str) -> None:
    text, command = endpoint.two_lines(model)
    assert yaml.safe_load(text) == {"name": name, "model": {"id": model}}
    Profile.model_validate(yaml.safe_load(text))
    assert command.endswith(f"> {name}.yaml")


def test_an_endpoint_that_is_slow_alone_is_reachable() -> None:
    with banner_server(b"") as port:
        client = Client(f"http://127.0.0.1:{port}")
        began = time.monotonic()
        assert endpoint.unreachable(client, client.send(get("/health", 0.2))) == ""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("scheme", "says"),
    [("http", "give the URL https://localhost:"), ("https", "--vlm-set=endpoint.ca_bundle=FILE")],
)
def test_another_protocol_or_certificate_is_an_environment_problem_of_a_run(
    tmp_path: Path, scheme: str, says: str
) -> None:
    profile = Profile.model_validate({"name": "p", "model": {"id": "m"}})
    with tls_endpoint(certificate(tmp_path)) as port, pytest.raises(EnvironmentProblem, match=says):
        attach(profile, f"{scheme}://localhost:{port}", api_key=None, progress=lambda _: None)
