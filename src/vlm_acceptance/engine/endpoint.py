"""What answers at the URL of an endpoint: which server it is, and why it cannot be tested as it is given."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import ErrorDetail, Exchange
from vlm_acceptance.core.text import printable, trimmed
from vlm_acceptance.engine import port
from vlm_acceptance.engine.readiness import listed_models

# together less than the time of a probe
PROBE_S, AGAIN_S = 3.0, 1.0
MODELS = "/v1/models"
DAY_S = 86_400
UNAUTHORIZED = 401
_OPPOSITE = {"http": "https", "https": "http"}
# what nginx, Apache, Go and others answer to plain HTTP at a port for TLS
_WANTS_TLS = re.compile(rb"HTTPS port|HTTPS server|SSL-enabled|plain HTTP", re.IGNORECASE)
_VERIFY = re.compile(r"certificate verify failed: ([^()]+)")
_UNREADABLE_BUNDLE = re.compile(r"X509|CA certificate bundle")
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,120})", re.IGNORECASE)
# `owned_by` of the models that a server lists
_OWNERS = {
    "vllm": "vLLM", "sglang": "SGLang", "lmdeploy": "LMDeploy", "llamacpp": "llama.cpp", "library": "Ollama",
    "mindie": "MindIE",
}  # fmt: skip
_YAML_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
_GATEWAYS = re.compile(
    r"nginx|openresty|envoy|kong|traefik|haproxy|caddy|apisix|apache|cloudflare|awselb|higress|gateway|litellm",
    re.IGNORECASE,
)
_GATEWAY_HEADERS = {
    "x-kong-": "Kong", "x-envoy-": "Envoy", "cf-ray": "Cloudflare", "x-litellm-": "LiteLLM",
    "x-amzn-": "an AWS gateway",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why an endpoint cannot be tested as it is given, with the remedy; `by_option`: another URL or option.

    `check` is connection, protocol, certificate, key or server.
    """

    check: str
    seen: str
    remedy: str
    by_option: bool = True

    def __str__(self) -> str:
        return f"{self.seen}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers: `engine` such as 'vLLM', `gateway` such as 'nginx/1.24', `title` of its page; '' if not known."""

    engine: str = ""
    gateway: str = ""
    header: str = ""
    title: str = ""

    def __str__(self) -> str:
        if self.engine:
            return self.engine + (f" behind {self.gateway}" if self.gateway else "")
        shown = f" with the page {self.title!r}" if self.title else ""
        if self.gateway:
            return f"{self.gateway}, a gateway or web server{shown}"
        return f"a server named {self.header!r}{shown}" if self.header else f"a server without a name{shown}"


def server_of(exchange: Exchange) -> Server:
    """Who sent a response of /v1/models, by its headers and its body."""
    header = printable(exchange.headers.get("server", ""))[:80]
    gateway = header if _GATEWAYS.search(header) else ""
    for start, name in _GATEWAY_HEADERS.items():
        if not gateway and any(key.startswith(start) for key in exchange.headers):
            gateway = name
    found = _TITLE.search(exchange.body[: 1 << 16])
    title = printable(found.group(1).decode("utf-8", "replace").strip()) if found else ""
    return Server(_engine_of(exchange), gateway, header, title)


def obstacle(client: Client, exchange: Exchange) -> Obstacle | None:
    """What a response of /v1/models, or its absence, says against testing the endpoint; None if it lists models."""
    if exchange.error is not None:
        return _unanswered(client, exchange.error)
    if listed_models(exchange) is not None:
        return None
    return _refused(client, exchange) or _misplaced(client) or _no_models(client.base_url, exchange)


def unreachable(client: Client, exchange: Exchange) -> str:
    """Why nothing can be judged there: nothing answers, or not by the protocol or the certificates of the URL; else ''.

    The exchange is the first one, of any path.
    """
    if exchange.error is None:
        wrong = _refused(client, exchange)
    elif exchange.error.kind == "timeout":
        return ""
    else:
        wrong = _unanswered(client, exchange.error)
    is_dead = exchange.error is not None and exchange.error.kind == "connect"
    return str(wrong) if wrong is not None and (is_dead or wrong.check in ("protocol", "certificate")) else ""


def key_problem(client: Client, exchange: Exchange) -> str:
    """Why who asks is wrong, not the deployment: it refuses the key, or demands one; else ''."""
    return str(_refused(client, exchange)) if exchange.status == UNAUTHORIZED else ""


def tls_obstacle(client: Client) -> Obstacle | None:
    """The same from a TLS handshake alone, without a request; None for http, through a proxy, or if it succeeds."""
    if not client.base_url.startswith("https:") or client.proxy:
        return None
    try:
        certificate_ends_s(client)
    except TimeoutError as late:
        return _unanswered(client, ErrorDetail("timeout", f"{late}"))
    except (ssl.SSLError, ConnectionResetError) as broken:
        return _unanswered(client, ErrorDetail("connect", f"SSLError: {broken}"))
    except (OSError, ValueError):
        return None  # the first request reports it
    return None


def certificate_ends_s(client: Client) -> float | None:
    """Seconds until the server's certificate expires, after a TLS handshake that trusts what the client trusts."""
    parts = urlsplit(client.base_url)
    trusted = client.certificates if isinstance(client.certificates, str) else DEFAULT_CA_BUNDLE_PATH
    context = _trusting(trusted)
    with (
        contextlib.closing(_connected(client.base_url)) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as wrapped,
    ):
        found: Any = wrapped.getpeercert() or {}
    return ssl.cert_time_to_seconds(found["notAfter"]) - time.time() if "notAfter" in found else None


def two_lines(model: str) -> tuple[str, str]:
    """A profile of two lines for a model, and a shell command that writes it to a file."""
    name = re.sub(r"[^a-z0-9.]+", "-", model.rpartition("/")[2].lower()).strip("-.")[:60] or "my-model"
    lines = (f"name: {_quoted(name)}", f"model: {{id: {_quoted(model)}}}")
    return "\n".join(lines), shlex.join(["printf", "%s\\n", *lines]) + f" > {name}.yaml"


def _quoted(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII) and text.lower() not in _YAML_WORDS
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return text if plain else f'"{printable(escaped)}"'


def _trusting(bundle: str) -> ssl.SSLContext:
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    number = parts.port or (443 if parts.scheme == "https" else 80)
    return socket.create_connection((parts.hostname or "", number), PROBE_S)


def _engine_of(exchange: Exchange) -> str:
    owner: Any = ""
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
        owner = exchange.json()["data"][0].get("owned_by", "")
    if not isinstance(owner, str) or not owner:
        return ""
    return next((name for start, name in _OWNERS.items() if owner.lower().startswith(start)), "")


def _unanswered(client: Client, error: ErrorDetail) -> Obstacle:
    url, what = client.base_url, error.message[:200]
    is_tls = url.startswith("https:")
    if is_tls and _UNREADABLE_BUNDLE.search(what):
        bundle = f"{client.certificates!r} holds no certificates in PEM form ({what})"
        return Obstacle("certificate", bundle, "name another file in endpoint.ca_bundle or REQUESTS_CA_BUNDLE")
    if is_tls and (found := _VERIFY.search(error.message)):
        return _untrusted(client, found.group(1).strip(" '\""))
    if client.proxy is None and (other := _other_protocol(url, error)):
        asked, answers = urlsplit(url).scheme, urlsplit(other).scheme
        seen = f"{url} was asked by {asked}, and the server there speaks {answers}"
        return Obstacle("protocol", seen, f"give the URL {other}")
    if error.kind == "timeout":
        return _silent(client)
    if error.kind == "protocol" or "BadStatusLine" in error.message:
        seen = f"{url} is answered by something that does not speak HTTP ({what})"
        return Obstacle("server", seen, "give the address of the vLLM server")
    if error.kind == "reset":
        remedy = "see the log of the server, and of what stands before it"
        return Obstacle("connection", f"{url} closes each connection without an answer ({what})", remedy, False)
    remedy = "is the server started, and are host and port right?"
    if client.proxy:
        remedy = "it was asked through the proxy of the environment; without one: export no_proxy=HOST"
    return Obstacle("connection", f"nothing answers at {url}: {what}", remedy, False)


def _silent(client: Client) -> Obstacle:
    parts = urlsplit(client.base_url)
    number = parts.port or (443 if parts.scheme == "https" else 80)
    if client.proxy is None and not port.is_open(number, parts.hostname or "", AGAIN_S / 2):
        seen = f"{client.base_url} cannot be reached: packets to it stay unanswered"
        return Obstacle("connection", seen, "is the host right, and does a firewall let this machine through?", False)
    seen = f"{client.base_url} takes connections and does not answer {MODELS} in time"
    return Obstacle("connection", seen, "see the log of the server: it hangs, or it is not an HTTP server", False)


def _other_protocol(url: str, error: ErrorDetail) -> str | None:
    """The URL with the other one of http and https, if the server speaks that; no key is sent."""
    parts = urlsplit(url)
    other = parts._replace(scheme=_OPPOSITE[parts.scheme]).geturl()
    if parts.scheme == "https" and ("SSL" in error.message or error.kind == "timeout"):
        seen = Client(other).send(get("/", AGAIN_S))
        return other if seen.status is not None and not _WANTS_TLS.search(seen.body[:4096]) else None
    if parts.scheme == "http" and error.kind in ("protocol", "reset") and _speaks_tls(url):
        return other
    return None


def _speaks_tls(url: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError, ValueError),
        contextlib.closing(_connected(url)) as raw,
        context.wrap_socket(raw, server_hostname=urlsplit(url).hostname),
    ):
        return True
    return False


def _untrusted(client: Client, why: str) -> Obstacle:
    url, low = client.base_url, why.lower()
    seen = f"the certificate of {url} is not accepted ({why})"
    if "mismatch" in low or "not valid for" in low:
        return Obstacle("certificate", seen, "give the URL with a name that the certificate is for")
    if "expired" in low or "not yet valid" in low:
        return Obstacle("certificate", seen, "let it be renewed, and see the clock of this machine", False)
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 443}"
    remedy = "give a PEM file of its CA (or of itself, if it is self-signed) with --vlm-set=endpoint.ca_bundle=FILE"
    return Obstacle("certificate", seen, f"{remedy}; to see it: openssl s_client -showcerts -connect {place}")


def _refused(client: Client, exchange: Exchange) -> Obstacle | None:
    """What a status other than that of a wrong path says."""
    url = client.base_url
    status, server = exchange.status or 0, server_of(exchange)
    if url.startswith("http:") and status == 400 and _WANTS_TLS.search(exchange.body[:4096]):
        other = urlsplit(url)._replace(scheme="https").geturl()
        seen = f"{url} was asked by http, and the server there speaks https"
        return Obstacle("protocol", seen, f"give the URL {other}")
    if 300 <= status < 400:
        path = exchange.request.path
        target = urljoin(url + path, exchange.headers.get("location", ""))
        named = printable(target.partition("?")[0].removesuffix("/").removesuffix(path))[:200]
        check = "protocol" if urlsplit(url).scheme != urlsplit(target).scheme else "server"
        return Obstacle(check, f"{url} redirects to {named} (HTTP {status})", f"give the URL {named}")
    if status in (401, 403):
        does = "refuses the key" if client.api_key else "demands a key"
        seen = f"{url} {does} (HTTP {status} of {server})"
        return Obstacle("key", seen, "name the variable that holds it with --vlm-api-key-env=NAME")
    if status == 429:
        remedy = "set how many requests it takes: --vlm-set=endpoint.requests_per_s=N"
        return Obstacle("server", f"{url} asks to wait (HTTP 429 of {server})", remedy, False)
    if status in (502, 503, 504):
        seen = f"{url} is {server}, and the model server behind it does not answer (HTTP {status})"
        return Obstacle("server", seen, "start that server, or wait until it has loaded its model", False)
    return None


def _misplaced(client: Client) -> Obstacle | None:
    """An endpoint at the root of the server, when the URL goes on after it."""
    parts = urlsplit(client.base_url)
    if not parts.path:
        return None
    root = parts._replace(path="").geturl()
    at_root = Client(root, client.api_key, client.sizes, client.gateway).send(get(MODELS, PROBE_S))
    if listed_models(at_root) is None:
        return None
    return Obstacle("server", f"{client.base_url} lists no models, {root} does", f"give the URL {root}")


def _no_models(url: str, exchange: Exchange) -> Obstacle:
    seen = f"HTTP {exchange.status}, {trimmed(exchange.body[:60], 60)}"
    server = server_of(exchange)
    remedy = "give the address of the vLLM server (curl URL/v1/models lists its models)"
    return Obstacle("server", f"{url} is {server}, which lists no models at {MODELS} ({seen})", remedy)
