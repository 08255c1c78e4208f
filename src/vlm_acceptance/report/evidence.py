"""What is kept of an exchange that broke an expectation: request, pictures, response, and how to repeat it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlm_acceptance.exchange import Exchange
from vlm_acceptance.report.store import RunStore, stored


def keep(store: RunStore, test: str, exchange: Exchange, base_url: str, key_env: str | None) -> tuple[Path, str]:
    """Write the evidence folder of one exchange; returns it and a one-line command that repeats the request."""
    name = f"evidence/{slug(test)}/{exchange.id}"
    body = exchange.request.body
    for number, (kind, data) in enumerate(_pictures(body), start=1):
        store.write_bytes(f"{name}/picture-{number}.{kind}", data)
    response = stored(exchange)
    store.write(f"{name}/response.json", json.dumps(response, indent=1, ensure_ascii=False))
    if isinstance(body, bytes):
        request = store.write_bytes(f"{name}/request.bin", body)
    else:
        request = store.write(f"{name}/request.json", json.dumps(body, ensure_ascii=True))
    line = one_liner(exchange, request, base_url, key_env)
    store.write(f"{name}/repeat.txt", line + "\n")
    return request.parent, line


def one_liner(exchange: Exchange, request: Path, base_url: str, key_env: str | None) -> str:
    """A Python line that needs nothing but the standard library (the vllm-ascend image has no curl)."""
    # double quotes alone inside, so that a shell's single quotes can hold the line as it is
    url = json.dumps(base_url + exchange.request.path)
    headers = 'h = {"Content-Type": "application/json"}'
    if key_env:
        headers += f'; import os; h["Authorization"] = "Bearer " + os.environ[{json.dumps(key_env)}]'
    data = "" if exchange.request.method == "GET" else f', open({json.dumps(str(request))}, "rb").read()'
    call = f"print(u.urlopen(u.Request({url}{data}, headers=h), timeout=60).read().decode())"
    return f"python3 -c {shlex.quote(f'import urllib.request as u; {headers}; {call}')}"


def slug(test: str) -> str:
    """A test id as one folder name."""
    name = test.rpartition("/")[2].replace("::", "-")
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
