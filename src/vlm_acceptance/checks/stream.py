"""A streamed chat completion: in order, complete, and with the same text as the plain answer."""

from __future__ import annotations

from typing import Any

from vlm_acceptance.checks.agreement import agreement
from vlm_acceptance.checks.schema import MOST_FINDINGS, conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, Frame, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.spelling import spelled_of
from vlm_acceptance.core.text import trimmed

DONE = "[DONE]"
_Chunk = tuple[int, dict[str, Any]]  # number of the event, and its body


def stream_is_sound(exchange: Exchange, *, expect_usage: bool, n: int = 1) -> list[Finding]:
    """All that is wrong with a stream of `n` choices; `expect_usage`: the request asked for a usage chunk.

    The order is judged only if every event is a well-formed chunk; otherwise later events would be blamed.
    """
    if exchange.status != 200:
        observed = str(exchange.error or f"HTTP {exchange.status}")
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
    return found + _identity(chunks) + _choices(chunks, n) + _usage(chunks, expect_usage, exchange.request.body)


def same_text(stream_exchange: Exchange, plain_exchange: Exchange, tie: float | None = None) -> list[Finding]:
    """The streamed answer has the text and the finish_reason of the plain one.

    With `tie`, and log probabilities in one of them, the texts may differ from a near-tie on.
    """
    streamed, plain = spelled_of(stream_exchange), spelled_of(plain_exchange)
    if isinstance(streamed, NoReply) or isinstance(plain, NoReply):
        expected = "two readable answers, one of them streamed"
        missing = [side for side in (streamed, plain) if isinstance(side, NoReply)][:1]
        return [Finding(kinds.STREAM_SAME_TEXT, expected, str(one)).about(one.exchange) for one in missing]
    same = agreement(plain, streamed, tie)
    if same.is_equal:
        return _same_reason(stream_exchange.reply, plain_exchange.reply)
    if same.is_accepted:
        return []
    expected = f"the plain text, from character {same.at} on {trimmed(plain.text[same.at :], 120)}"
    observed = f"streamed {trimmed(streamed.text[same.at :], 120)}; {same}"
    return [
        Finding(kinds.STREAM_SAME_TEXT, expected, observed),
        *_same_reason(stream_exchange.reply, plain_exchange.reply),
    ]


def _same_reason(streamed: Reply | NoReply, plain: Reply | NoReply) -> list[Finding]:
    if isinstance(streamed, NoReply) or isinstance(plain, NoReply) or streamed.finish_reason == plain.finish_reason:
        return []
    expected, observed = f"finish_reason {plain.finish_reason!r}", f"streamed {streamed.finish_reason!r}"
    return [Finding(kinds.STREAM_SAME_TEXT, expected, observed)]


def _transport(exchange: Exchange) -> list[Finding]:
    found = []
    if exchange.error is not None:
        observed = f"{exchange.error} after {len(exchange.frames)} events"
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
        observed = f"{len(frames) - places[0]} events after it, the first {trimmed(frames[places[0]].data)}"
        found.append(Finding(kinds.STREAM_AFTER_DONE, f"{DONE} last", observed, f"event {places[0]}"))
    return found


def _chunks(frames: tuple[Frame, ...]) -> tuple[list[_Chunk], list[Finding]]:
    """Every event but [DONE] as a chunk, and findings about events that are not valid chunks."""
    chunks: list[_Chunk] = []
    found: list[Finding] = []
    for number, frame in enumerate(frames, 1):
        if frame.data.strip() == DONE:
            continue
        where = f"event {number}"
        try:
            body = read_json(frame.data)
        except ValueError as broken:
            seen = f"{broken}: {trimmed(frame.data)}"
            found.append(Finding(kinds.STREAM_JSON, f"JSON or {DONE}", seen, where))
            continue
        if frame.event == "error" or (isinstance(body, dict) and "error" in body):
            found.append(Finding(kinds.STREAM_ERROR, "no error inside HTTP 200", trimmed(body), where))
            continue
        found += conforms("chunk", body, where)
        chunks.append((number, body))
        if len(found) >= MOST_FINDINGS:
            break
    return chunks, found[:MOST_FINDINGS]


def _identity(chunks: list[_Chunk]) -> list[Finding]:
    seen = {key: list(dict.fromkeys(body[key] for _, body in chunks)) for key in ("id", "model", "created")}
    return [
        Finding(kinds.STREAM_IDENTITY, f"one {key!r} for all chunks", trimmed(values))
        for key, values in seen.items()
        if len(values) > 1
    ]


def _choices(chunks: list[_Chunk], n: int) -> list[Finding]:
    parts: dict[int, dict[int, dict[str, Any]]] = {}  # by index of the choice, then by number of the event
    for number, body in chunks:
        for choice in body["choices"]:
            parts.setdefault(choice["index"], {})[number] = choice
    found = []
    if set(parts) != set(range(n)):
        expected = f"choices {', '.join(map(str, range(n)))}"
        found.append(Finding(kinds.STREAM_CHOICES, expected, ", ".join(map(str, sorted(parts))) or "none"))
    for index in sorted(parts):
        found += [*_role(parts[index], f"choice {index}"), *_finish(parts[index], f"choice {index}")]
    return found


def _role(parts: dict[int, dict[str, Any]], where: str) -> list[Finding]:
    roles = [number for number, part in parts.items() if part["delta"].get("role")]
    if roles == [min(parts)]:
        return []
    observed = f"role in events {roles[:5]}, first chunk is event {min(parts)}" if roles else "no role"
    return [Finding(kinds.STREAM_ROLE, "the role once, in the first chunk", observed, where)]


def _finish(parts: dict[int, dict[str, Any]], where: str) -> list[Finding]:
    ends = [number for number, part in parts.items() if part.get("finish_reason")]
    if len(ends) != 1:
        return [Finding(kinds.STREAM_FINISH, "one finish_reason", f"{len(ends)}, in events {ends}", where)]
    late = [number for number in parts if number > ends[0]]
    expected = f"nothing after the end in event {ends[0]}"
    return [Finding(kinds.STREAM_FINISH, expected, f"events {late[:5]}", where)] if late else []


def _usage(chunks: list[_Chunk], expected: bool, request: Any) -> list[Finding]:
    bare = [(number, body) for number, body in chunks if not body["choices"]]
    last = chunks[-1][0]
    found = []
    if len(bare) != int(expected):
        wanted = "one chunk without choices, with the usage" if expected else "no chunk without choices"
        found.append(Finding(kinds.STREAM_USAGE, wanted, f"{len(bare)}, in events {[number for number, _ in bare]}"))
    for number, body in bare:
        where = f"event {number}"
        if not body.get("usage"):
            found.append(Finding(kinds.STREAM_USAGE, "a usage block", trimmed(body), where))
        if number != last:
            found.append(Finding(kinds.STREAM_USAGE, "the usage chunk last", f"event {last} follows", where))
    early = [number for number, body in chunks if body["choices"] and body.get("usage")]
    options = request.get("stream_options") if isinstance(request, dict) else None
    is_requested = isinstance(options, dict) and options.get("continuous_usage_stats")
    if early and not is_requested:
        found.append(Finding(kinds.STREAM_USAGE, "no usage in chunks of text", f"usage in events {early[:5]}"))
    return found
