"""Endpoints whose answers attack reports or repeat a secret: for test_ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fault_stages import Call, Frames, Response, Stages
from standins.fault_proxy import FaultProxy

LONG = 10_000_000
# the number of the chat request that gets it: a probe of readiness
LONG_ONE = 4
HARM = "<script>alert(1)</script>]]>\x1b[2J\x1b]0;t\x07\x00\x0b\ufffe\ud800&amp;\u202e\r\n</pre>{{ 7 * 7 }}"


class Planted(FaultProxy):
    """A fault proxy with stages of the test's own."""

    def __init__(self, upstream: str, stages: Stages) -> None:
        super().__init__(upstream)
        self._stages = stages


def harmful() -> Stages:
    """Every answer, every chunk and every error holds HARM; one answer is 10 MB of it."""

    def response(call: Call, response: Response) -> Response:
        body = json.loads(response.body) if call.is_chat else None
        if body is None or "choices" not in body:
            return response if response.status == 200 else error(response)
        long = call.number == LONG_ONE
        for choice in body["choices"]:
            choice["message"]["content"] = HARM * (LONG // len(HARM)) if long else HARM
        # escaped: a lone surrogate cannot be encoded otherwise
        return Response(response.status, response.headers, json.dumps(body).encode())

    def error(response: Response) -> Response:
        message = {"message": HARM, "type": HARM, "param": None, "code": response.status}
        return Response(response.status, response.headers, json.dumps({"error": message}).encode())

    def frames(_call: Call, frames: Frames) -> Frames:
        for frame in frames:
            data = frame.removeprefix(b"data: ")
            if not data.startswith(b"{"):
                yield frame
                continue
            chunk = json.loads(data)
            for choice in chunk["choices"]:
                choice["delta"]["content"] = HARM
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"

    return Stages(response=response, frames=frames)


def repeating_keys() -> Stages:
    """The key of each request comes back: in the body, in a header, in errors, in a stream, among the model ids."""

    def response(call: Call, response: Response) -> Response:
        try:
            body = json.loads(response.body)
        except ValueError:
            return replace(response, body=response.body + f"# {key_of(call)}\n".encode())
        put_key(call.route, body, key_of(call))
        return response.with_json(body)

    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            yield frame.replace(b'"content":"', b'"content":"' + json.dumps(key_of(call))[1:-1].encode())

    def headers(call: Call, headers: Mapping[str, str]) -> Mapping[str, str]:
        return {**headers, "X-Key": key_of(call)}

    return Stages(response=response, frames=frames, headers=headers)


def key_of(call: Call) -> str:
    """The key that came with a request."""
    return call.headers.get("Authorization", "").removeprefix("Bearer ")


def put_key(route: str, body: dict[str, Any], key: str) -> None:
    """Put a key into each text of a body."""
    for choice in body.get("choices", ()):
        choice["message"]["content"] = f"your key is {key}"
    if "error" in body:
        body["error"]["message"] = f"bad key {key!r}"
    if route == "/v1/models":
        body["data"].append({**body["data"][0], "id": f"m-{key}"})
    if route == "/version":
        body["version"] = f"0.18.0+{key}"
