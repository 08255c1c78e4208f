"""The transcript of a run: request, response and time of each exchange as text. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.text import printable

SHOWN = 2000


def entry(test: str, exchange: Exchange) -> str:
    """One exchange as a passage of text; bodies are cut at 2,000 characters, control characters are escaped."""
    head = f"-- {exchange.id} {exchange.request.method} {exchange.request.path} [{test}] {exchange.started_utc}"
    lines = [head, *(f"   > {line}" for line in _sent(exchange.request.body))]
    lines += [f"   < {line}" for line in _received(exchange)]
    return "\n".join(lines)


def _sent(body: Any) -> list[str]:
    if not isinstance(body, dict):
        return [_safe(body)] if body is not None else []
    lines: list[str] = []
    messages = body.get("messages") or []
    for message in messages if isinstance(messages, list) else [messages]:
        content = message.get("content") if isinstance(message, dict) else message
        role = message.get("role", "?") if isinstance(message, dict) else "?"
        lines.extend(f"{role}: {_part(part)}" for part in (content if isinstance(content, list) else [content]))
    rest = {key: value for key, value in body.items() if key not in ("messages", "model")}
    return [*lines, _safe(rest)] if rest else lines


def _part(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text":
        return _safe(part.get("text"))
    if not isinstance(part, dict) or not isinstance(part.get("image_url"), dict):
        return _safe(part)
    url = str(part["image_url"].get("url"))
    if url.startswith("data:"):
        url = f"{url[5:].partition(';')[0]} sha256 {hashlib.sha256(url.encode()).hexdigest()[:16]}"
    return f"<picture {url}>"


def _received(exchange: Exchange) -> list[str]:
    took = f"{exchange.elapsed_s:.3f} s"
    if exchange.error is not None:
        return [f"{exchange.error.kind}: {_safe(exchange.error.message)} ({took})"]
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return [f"HTTP {exchange.status} ({took}): {_safe(exchange.body.decode('utf-8', 'replace'))}"]
    usage = f"{reply.usage.prompt}+{reply.usage.completion} tokens" if reply.usage else "no usage"
    ttft = f", first text after {reply.ttft_s:.3f} s" if reply.ttft_s is not None else ""
    return [_safe(reply.text), f"({reply.finish_reason}, {usage}, {took}{ttft})"]


def _safe(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text[:SHOWN] + (f"… ({len(text)} characters)" if len(text) > SHOWN else "")
    # an answer must not control the terminal that shows this file
    return printable(text.replace("\n", "⏎"))
