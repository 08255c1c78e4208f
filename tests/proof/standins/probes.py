"""Requests that show what a server changes, and the comparison of its answers with right ones."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import requests
from PIL import Image
from standins.quick_server import CHAT, MODEL

QUESTION = "one two three four 五六 seven"


def picture_url(size: tuple[int, int] = (64, 32)) -> str:
    picture = Image.new("RGB", size, (200, 10, 60))
    picture.paste((0, 250, 0), (0, 0, 2, 2))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def chat(text: str = QUESTION, picture: bool = False, **more: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if picture:
        parts.insert(0, {"type": "image_url", "image_url": {"url": picture_url()}})
    messages = [{"role": "user", "content": parts}]
    return {"model": MODEL, "messages": messages, "temperature": 0, "logprobs": True, **more}


STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
PROBES: dict[str, tuple[str, str, Any]] = {
    "health": ("GET", "/health", None),
    "models": ("GET", "/v1/models", None),
    "version": ("GET", "/version", None),
    "metrics": ("GET", "/metrics?x=1", None),
    "tokenize": ("POST", "/tokenize", {"model": MODEL, "messages": chat()["messages"]}),
    "chat": ("POST", CHAT, chat(max_tokens=50, stop=["nine"])),
    "picture": ("POST", CHAT, chat(picture=True)),
    "several": ("POST", CHAT, chat(n=2, temperature=0.5)),
    "stream": ("POST", CHAT, chat(**STREAM)),
    "wrong-model": ("POST", CHAT, {**chat(), "model": "nobody"}),
    "malformed": ("POST", CHAT, b"{"),
    "no-route": ("GET", "/nowhere", None),
}


def direct() -> requests.Session:
    """A session that ignores the proxies of the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def send(url: str, method: str, path: str, body: Any) -> requests.Response:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with direct() as session:
        return session.request(method, url + path, data=data, timeout=10, headers={"Content-Type": "application/json"})


def ask(url: str, probe: str) -> requests.Response:
    return send(url, *PROBES[probe])


def ask_text(url: str, text: str, **more: Any) -> str:
    return text_of(observed(send(url, "POST", CHAT, chat(text, **more)))["body"])


def text_of(body: Any) -> str:
    if isinstance(body, dict):
        return str(body["choices"][0]["message"]["content"])
    return "".join(c["delta"].get("content") or "" for event in body[:-1] for c in event["choices"])


def observed(response: requests.Response) -> dict[str, Any]:
    framing = ("content-length", "transfer-encoding")
    headers = {k.lower(): v for k, v in response.headers.items() if k.lower() not in framing}
    return {"status": response.status_code, "headers": headers, "body": parsed(response.content.decode())}


def parsed(text: str) -> Any:
    """JSON, the events of a stream, or text, without the fields that differ between right answers."""
    if text.startswith("data: "):
        return [parsed(event.removeprefix("data: ")) for event in text.split("\n\n")[:-1]]
    try:
        body = json.loads(text)
    except ValueError:
        return text.partition("vllm:prompt_tokens")[0]
    for holder in [body, *(body.get("data") or [])]:
        holder.update({"created": 0} if isinstance(holder.get("created"), int) else {})
    if str(body.get("id")).startswith("chatcmpl-"):
        body["id"] = "chatcmpl"
    return body


def differences(a: Any, b: Any, path: str = "") -> set[str]:
    """The paths at which two values differ, without list places; a delta counts as a message."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() & b.keys():
        found = {key: differences(a.get(key, ...), b.get(key, ...), f"{path}.{key}") for key in a | b}
        return set().union(*found.values())
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return set().union(*(differences(x, y, path) for x, y in zip(a, b, strict=True)))
    name = path.replace(".delta", ".message").removeprefix(".body.").removeprefix(".")
    return set() if a == b and type(a) is type(b) else {name}


def arrivals(url: str, **more: Any) -> list[float]:
    """Seconds from sending to each event, or to the whole answer when it is not a stream."""
    began = time.monotonic()
    with direct() as session:
        response = session.post(url + CHAT, json=chat("one two three", **more), stream=True, timeout=10)
        return [time.monotonic() - began for piece in response.iter_content(None) if piece]
