"""The evidence of an exchange with a finding: request, pictures, response, and commands that repeat the request."""

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

from vlm_acceptance.core.exchange import Exchange, Request
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.report.masked import masked_exchange
from vlm_acceptance.report.store import RunStore

SCRIPT, COMMANDS = "repeat.py", "repeat.txt"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# printed by curl after the body
STATUS = r"\nHTTP %{http_code}\n"
_PLAIN_PATH = re.compile(r"[\w/.=?&-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Further:
    """What a request through a gateway needs: headers with their environment variables, and certificates to trust."""

    headers: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: str | None = None


NOTHING = Further()


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a request is sent again: to `url` or any other one, with the body of `file` in the folder of the evidence.

    `variables` are headers with the environment variables that hold their values.
    """

    url: str
    sent: Request
    file: str
    variables: Mapping[str, str]
    ca_bundle: str | None

    @property
    def headers(self) -> dict[str, str]:
        """The headers whose values are known; an empty Authorization is not sent."""
        named = {name.lower() for name in self.sent.headers}
        usual = {"Content-Type": "application/json"} if self.has_body and "content-type" not in named else {}
        sent = {name: value for name, value in self.sent.headers.items() if value or name != "Authorization"}
        return {**usual, **sent}

    @property
    def has_body(self) -> bool:
        """Whether the request has a body."""
        return self.sent.body is not None

    def curl(self) -> str:
        """A line for curl, in the folder of the evidence, where the shell variable URL is set."""
        parts = ["curl", "-sS"]
        if self.sent.method != ("POST" if self.has_body else "GET"):
            parts += ["-X", shlex.quote(self.sent.method)]
        if urlsplit(self.url).hostname in LOOPBACK:
            parts += ["--noproxy", ",".join(LOOPBACK)]
        parts += ["--cacert", shlex.quote(self.ca_bundle)] if self.ca_bundle else []
        path = self.sent.path
        parts += [f'"$URL{path}"'] if _PLAIN_PATH.fullmatch(path) else ["-g", f'"$URL"{shlex.quote(path)}']
        for name, value in self.headers.items():
            parts += ["-H", shlex.quote(f"{name}: {value}" if value else f"{name};")]
        for name, value in self._from_variables():
            parts += ["-H", shlex.quote(f"{name}: ") + value]
        parts += ["--data-binary", f"@{self.file}"] if self.has_body else []
        return " ".join([*parts, "-w", shlex.quote(STATUS)])

    def _from_variables(self) -> Iterator[tuple[str, str]]:
        for name, variable in self.variables.items():
            yield name, f'"Bearer ${variable}"' if name == "Authorization" else f'"${variable}"'

    def commands(self) -> str:
        """Lines for a shell in the folder of the evidence: the URL, the request by curl, the request by Python."""
        return f'URL={shlex.quote(self.url)}\n{self.curl()}\npython3 {SCRIPT} "$URL"\n'

    def script(self) -> str:
        """A Python script that sends the request to its argument, or to `url`, and prints status and body.

        It uses only the standard library (the vllm-ascend image has no curl). It shows errors and redirects as they
        are, and uses no proxy for loopback.
        """
        headers = [f"    {name!a}: {value!a}," for name, value in self.headers.items()]
        for name, variable in self.variables.items():
            before = "'Bearer ' + " if name == "Authorization" else ""
            headers.append(f"    {name!a}: {before}os.environ[{variable!a}],")
        body = f"(pathlib.Path(__file__).parent / {self.file!a}).read_bytes()" if self.has_body else "None"
        return _SCRIPT.format(
            url=ascii(self.url),
            path=ascii(self.sent.path),
            method=ascii(self.sent.method),
            headers="\n".join(["{", *headers, "}"]),
            body=body,
            deadline=f"{self.sent.deadline_s:g}",
            loopback=ascii(LOOPBACK),
            ca_bundle=ascii(self.ca_bundle),
        )


_SCRIPT = '''"""Sends a request of an acceptance run again: python3 repeat.py [URL]"""

import os
import pathlib
import ssl
import sys
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

url = (sys.argv[1] if len(sys.argv) > 1 else {url}).rstrip("/")
body = {body}
headers = {headers}
request = Request(url + {path}, body, headers, method={method})
opener = OpenerDirector()  # without handlers for errors and redirects: every status is shown
opener.add_handler(HTTPHandler())
opener.add_handler(HTTPSHandler(context=ssl.create_default_context(cafile={ca_bundle})))
if urlsplit(url).hostname not in {loopback}:
    opener.add_handler(ProxyHandler())
answer = opener.open(request, timeout={deadline})
print(answer.status, answer.read().decode("utf-8", "replace"))
'''


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
    folder = request.parent
    repeat = repeat_of(store, exchange, request.name, base_url, key_env, further)
    store.write(f"{name}/{COMMANDS}", repeat.commands())
    script = store.write(f"{name}/{SCRIPT}", repeat.script())
    return folder, f"python3 {shlex.quote(str(script))} {shlex.quote(base_url)}"


def repeat_of(
    store: RunStore, exchange: Exchange, file: str, base_url: str, key_env: str | None, further: Further
) -> Repeat:
    """How the request of a masked exchange is sent again; `file` holds its body."""
    sent = replace(exchange.request, headers=store.masked(exchange.request.headers))
    key = {"Authorization": key_env} if key_env and "Authorization" not in sent.headers else {}
    return Repeat(base_url, sent, file, {**key, **further.headers}, further.ca_bundle)


def _but_pictures(value: Any, mask: Mask) -> Any:
    """The value with its texts masked but those of pictures, which are long."""
    if isinstance(value, dict):
        return {key: _but_pictures(inner, mask) for key, inner in value.items()}
    if isinstance(value, list):
        return [_but_pictures(inner, mask) for inner in value]
    return mask(value) if isinstance(value, str) and not value.startswith("data:") else value


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
