"""Order and completeness of a streamed chat completion, and that it says what the plain answer says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.checks.schema import MOST_FINDINGS, conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, Frame, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class _Chunk:
    number: int
    body: dict[str, Any]


def stream_is_sound(exchange: Exchange, *, expect_usage: bool, n: int = 1) -> list[Finding]:
    """All that is wrong with a stream of `n` choices; `expect_usage` is whether the request asked for a usage chunk.

    Order is judged only when every event is a well-formed chunk: on anything less it would blame what follows.
    """
    if exchange.status != 200:
        why = exchange.error
        observed = f"HTTP {exchange.status}" if why is None else f"{why.kind}: {why.message}"
        return [Finding(kinds.STREAM_STATUS, "HTTP 200 and a stream", observed)]
    found = _transport(exchange)
    if not exchange.frames:
        return [*found, Finding(kinds.STREAM_EMPTY, "a stream of events", "no event")]
    found += _done(exchange.frames)
    chunks, broken = _chunks(exchange.frames)
    if broken:
        return found + broken
    if not chunks:
        return [*found, Finding(kinds.STREAM_EMPTY, "chunks before [DONE]", "none")]
    found += _identity(chunks)
    found += _choices(chunks, n)
    found += _usage(chunks, expect_usage, _asks_for_running_usage(exchange.request.body))
    return found


def joined(exchange: Exchange, index: int = 0) -> str:
    """The text of one choice, put together from its deltas; events that cannot be read add nothing."""
    return "".join(_piece(frame, index) for frame in exchange.frames)


def same_text(stream_exchange: Exchange, plain_exchange: Exchange) -> list[Finding]:
    """The streamed answer is the plain one, in text and in the reason to stop."""
    streamed, plain = stream_exchange.reply, plain_exchange.reply
    if isinstance(streamed, NoReply) or isinstance(plain, NoReply):
        missing = streamed if isinstance(streamed, NoReply) else plain
        return [Finding(kinds.STREAM_SAME_TEXT, "two readable answers, one of them streamed", str(missing))]
    found = []
    if streamed.text != plain.text:
        at = _first_difference(streamed.text, plain.text)
        expected = f"the plain text, from character {at} on {trimmed(plain.text[at:], 120)}"
        found.append(Finding(kinds.STREAM_SAME_TEXT, expected, f"streamed {trimmed(streamed.text[at:], 120)}"))
    if streamed.finish_reason != plain.finish_reason:
        expected, observed = f"finish_reason {plain.finish_reason!r}", f"streamed {streamed.finish_reason!r}"
        found.append(Finding(kinds.STREAM_SAME_TEXT, expected, observed))
    return found


def _piece(frame: Frame, index: int) -> str:
    try:
        choices = json.loads(frame.data)["choices"]
        return "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == index)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _transport(exchange: Exchange) -> list[Finding]:
    found = []
    if exchange.error is not None:
        observed = f"{exchange.error.kind}: {exchange.error.message} after {len(exchange.frames)} events"
        found.append(Finding(kinds.STREAM_BROKEN, "a stream read to its end", observed))
    kind = next((value for key, value in exchange.headers.items() if key.lower() == "content-type"), "")
    if kind.partition(";")[0].strip().lower() != "text/event-stream":
        found.append(Finding(kinds.STREAM_CONTENT_TYPE, "text/event-stream", kind or "no Content-Type"))
    return found


def _done(frames: tuple[Frame, ...]) -> list[Finding]:
    places = [number for number, frame in enumerate(frames, 1) if frame.data.strip() == DONE]
    found = []
    if len(places) != 1:
        found.append(Finding(kinds.STREAM_DONE, f"{DONE} once", f"{len(places)} times in {len(frames)} events"))
    if places and places[0] != len(frames):
        after = trimmed(frames[places[0]].data)
        observed = f"{len(frames) - places[0]} events after it, the first {after}"
        found.append(Finding(kinds.STREAM_AFTER_DONE, f"{DONE} last", observed, f"event {places[0]}"))
    return found


def _chunks(frames: tuple[Frame, ...]) -> tuple[list[_Chunk], list[Finding]]:
    """Every event but [DONE] as a chunk, and what keeps any of them from being one."""
    chunks: list[_Chunk] = []
    found: list[Finding] = []
    for number, frame in enumerate(frames, 1):
        if frame.data.strip() == DONE:
            continue
        where = f"event {number}"
        try:
            body = json.loads(frame.data)
        except ValueError:
            found.append(Finding(kinds.STREAM_JSON, f"JSON or {DONE}", trimmed(frame.data), where))
            continue
        if frame.event == "error" or (isinstance(body, dict) and "error" in body):
            found.append(Finding(kinds.STREAM_ERROR, "no error inside HTTP 200", trimmed(body), where))
            continue
        found += conforms("chunk", body, where)
        chunks.append(_Chunk(number, body))
        if len(found) >= MOST_FINDINGS:
            break
    return chunks, found[:MOST_FINDINGS]


def _identity(chunks: list[_Chunk]) -> list[Finding]:
    found = []
    for key in ("id", "model", "created"):
        seen = list(dict.fromkeys(chunk.body[key] for chunk in chunks))
        if len(seen) > 1:
            found.append(Finding(kinds.STREAM_IDENTITY, f"one {key!r} for all chunks", trimmed(seen)))
    return found


def _choices(chunks: list[_Chunk], n: int) -> list[Finding]:
    seen = {choice["index"] for chunk in chunks for choice in chunk.body["choices"]}
    found = []
    if seen != set(range(n)):
        expected = f"choices {', '.join(map(str, range(n)))}"
        found.append(Finding(kinds.STREAM_CHOICES, expected, ", ".join(map(str, sorted(seen))) or "none"))
    for index in sorted(seen):
        found += _role(chunks, index)
        found += _finish(chunks, index)
    return found


def _parts(chunks: list[_Chunk], index: int) -> dict[int, dict[str, Any]]:
    """What the chunks hold for one choice, by event number."""
    return {c.number: choice for c in chunks for choice in c.body["choices"] if choice["index"] == index}


def _role(chunks: list[_Chunk], index: int) -> list[Finding]:
    parts = _parts(chunks, index)
    roles = [number for number, part in parts.items() if part["delta"].get("role")]
    if roles == [min(parts)]:
        return []
    observed = f"role in events {roles[:5]}, first chunk is event {min(parts)}" if roles else "no role"
    return [Finding(kinds.STREAM_ROLE, "the role once, in the first chunk", observed, f"choice {index}")]


def _finish(chunks: list[_Chunk], index: int) -> list[Finding]:
    parts = _parts(chunks, index)
    ends = [number for number, part in parts.items() if part.get("finish_reason")]
    where = f"choice {index}"
    if len(ends) != 1:
        return [Finding(kinds.STREAM_FINISH, "one finish_reason", f"{len(ends)}, in events {ends}", where)]
    late = [number for number in parts if number > ends[0]]
    if late:
        return [Finding(kinds.STREAM_FINISH, f"nothing after the end in event {ends[0]}", f"events {late[:5]}", where)]
    return []


def _usage(chunks: list[_Chunk], expected: bool, running: bool) -> list[Finding]:
    bare = [chunk for chunk in chunks if not chunk.body["choices"]]
    found = []
    if len(bare) != int(expected):
        wanted = "one chunk without choices, with the usage" if expected else "no chunk without choices"
        found.append(Finding(kinds.STREAM_USAGE, wanted, f"{len(bare)}, in events {[chunk.number for chunk in bare]}"))
    for chunk in bare:
        where = f"event {chunk.number}"
        if not chunk.body.get("usage"):
            found.append(Finding(kinds.STREAM_USAGE, "a usage block", trimmed(chunk.body), where))
        if chunk is not chunks[-1]:
            found.append(
                Finding(kinds.STREAM_USAGE, "the usage chunk last", f"event {chunks[-1].number} follows", where)
            )
    early = [chunk.number for chunk in chunks if chunk.body["choices"] and chunk.body.get("usage")]
    if early and not running:
        found.append(Finding(kinds.STREAM_USAGE, "no usage in chunks of text", f"usage in events {early[:5]}"))
    return found


def _asks_for_running_usage(body: Any) -> bool:
    options = body.get("stream_options") if isinstance(body, dict) else None
    return isinstance(options, dict) and bool(options.get("continuous_usage_stats"))


def _first_difference(left: str, right: str) -> int:
    """Index of the first character in which two different texts differ."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
