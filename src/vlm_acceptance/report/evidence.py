"""The evidence of an exchange with a finding: request, pictures, response, and a line that repeats the request."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.report.masked import masked_exchange
from vlm_acceptance.report.store import RunStore


@dataclass(frozen=True, slots=True)
class Further:
    """What a request through a gateway needs: headers with their environment variables, and certificates to trust."""

    headers: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: str | None = None


NOTHING = Further()


def keep(
    store: RunStore,
    test: str,
    exchange: Exchange,
    base_url: str,
    key_env: str | None,
    further: Further = NOTHING,
) -> tuple[Path, str]:
    """Write the evidence folder of one exchange; returns it and a one-line command that repeats the request."""
    name = f"evidence/{slug(test)}/{exchange.id}"
    exchange = masked_exchange(exchange, store.mask)
    body = exchange.request.body
    for number, (kind, data) in enumerate(_pictures(body), start=1):
        store.write_bytes(f"{name}/picture-{number}.{kind}", data)
    store.write(f"{name}/response.json", json.dumps(store.stored(exchange), indent=1, ensure_ascii=False))
    if isinstance(body, bytes):
        request = store.write_bytes(f"{name}/request.bin", body)
    else:
        # a short secret is in a request of ours only by chance, and the request must be sent again as it was
        request = store.write(
            f"{name}/request.json", json.dumps(_but_pictures(body, store.mask.long), ensure_ascii=True)
        )
    sent = replace(exchange.request, headers=store.masked(exchange.request.headers))
    line = one_liner(replace(exchange, request=sent), request, base_url, key_env, further)
    store.write(f"{name}/repeat.txt", line + "\n")
    return request.parent, line


def one_liner(exchange: Exchange, request: Path, base_url: str, key_env: str | None, further: Further = NOTHING) -> str:
    """A Python command that sends the request again and prints status and body of any response.

    It uses only the standard library (the vllm-ascend image has no curl).
    """
    sent = exchange.request
    steps = ["import os, urllib.request as u"]
    steps.append(f"h = {_quoted({'Content-Type': 'application/json', **sent.headers})}")
    if key_env and "Authorization" not in sent.headers:
        steps.append(f'h["Authorization"] = "Bearer " + os.environ[{_quoted(key_env)}]')
    for header, variable in further.headers.items():
        steps.append(f"h[{_quoted(header)}] = os.environ[{_quoted(variable)}]")
    data = "None" if sent.method == "GET" else f'open({_quoted(str(request))}, "rb").read()'
    steps.append(f"q = u.Request({_quoted(base_url + sent.path)}, {data}, h, method={_quoted(sent.method)})")
    # an opener without error and redirect handlers shows every status; loopback uses no proxy
    handlers = ["u.HTTPSHandler()" if base_url.startswith("https:") else "u.HTTPHandler()"]
    if urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1"):
        handlers.append("u.ProxyHandler()")
    steps.append("o = u.OpenerDirector()")
    steps.extend(f"o.add_handler({handler})" for handler in handlers)
    steps.append(f"r = o.open(q, timeout={sent.deadline_s:g})")
    steps.append('print(r.status, r.read().decode("utf-8", "replace"))')
    trust = f"SSL_CERT_FILE={shlex.quote(further.ca_bundle)} " if further.ca_bundle else ""
    return f"{trust}python3 -c {shlex.quote('; '.join(steps))}"


def _but_pictures(value: Any, mask: Mask) -> Any:
    """The value with its texts masked but those of pictures, which are long."""
    if isinstance(value, dict):
        return {key: _but_pictures(inner, mask) for key, inner in value.items()}
    if isinstance(value, list):
        return [_but_pictures(inner, mask) for inner in value]
    return mask(value) if isinstance(value, str) and not value.startswith("data:") else value


def _quoted(value: object) -> str:
    # only double quotes, so that the shell's single quotes can hold the line unchanged
    return json.dumps(value, ensure_ascii=False)


def slug(test: str) -> str:
    """A test id as one folder name."""
    module, _, rest = test.partition("::")
    name = f"{module.rpartition('/')[2]}-{rest}".replace("::", "-")
    return re.sub(r"[^\w.=-]+", "_", name).strip("_")[:120]


def _pictures(value: Any) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _pictures(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pictures(inner)
    elif isinstance(value, str) and value.startswith("data:image/"):
        head, _, data = value.partition(",")
        try:
            yield re.sub(r"\W", "", head[11:].partition(";")[0])[:8] or "bin", base64.b64decode(data, validate=True)
        except binascii.Error:
            return
