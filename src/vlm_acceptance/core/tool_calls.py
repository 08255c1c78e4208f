"""What a chat answer carries beside its text: calls of tools, and reasoning, streamed or not. Nothing here judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.core.exchange import (
    Exchange,
    NoReply,
    UnreadableError,
    Usage,
    read_or_reason,
    require_possible_length,
    usage_of,
)
from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.text import trimmed

_SHOWN, _NAME = 300, 60
_MOST_FLAWS = 5
# vLLM calls the field `reasoning`; before 0.12, and elsewhere, it is `reasoning_content`
REASONING = ("reasoning", "reasoning_content")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; the pieces of a stream are joined."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """An answer with its calls. `flaws`: what is wrong with their form; `late`: reasoning after the text began."""

    calls: tuple[Call, ...]
    content: str
    reasoning: str
    finish_reason: str
    usage: Usage | None
    flaws: tuple[str, ...] = ()
    late: str = ""
    exchange: Exchange | None = field(default=None, compare=False, repr=False)


def tool_answer(exchange: Exchange) -> ToolAnswer | NoReply:
    """A chat answer with its calls and its reasoning, or the reason why there is no answer."""

    def read() -> ToolAnswer:
        answer = _streamed(exchange) if exchange.request.stream else _plain(exchange)
        for text in (answer.content, answer.reasoning, "".join(call.arguments for call in answer.calls)):
            require_possible_length(text, exchange.request)
        return answer

    return read_or_reason(exchange, read)


class _Parts:
    """The parts of an answer as they arrive; an answer in one piece is one part."""

    def __init__(self) -> None:
        # pieces, joined at the end: a stream may have very many
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.late: list[str] = []
        self.reason = ""
        self.calls: list[dict[str, str]] = []
        self.arguments: list[list[str]] = []
        self.flaws: list[str] = []
        self._more = 0
        self._has_text = False

    def add(self, part: Mapping[str, Any]) -> None:
        """A message, or a delta of a stream."""
        reasoning = next((_text(part, name) for name in REASONING if part.get(name)), "")
        content = _text(part, "content")
        if self._has_text:
            self.late.append(reasoning)
        self.reasoning.append(reasoning)
        self.content.append(content)
        self._has_text = self._has_text or bool(content.strip())

    def call(self, piece: Mapping[str, Any], index: Any) -> None:
        """A call, or a piece of one: its id and its name are in the first piece."""
        if type(index) is not int or not 0 <= index <= len(self.calls):
            self._flaw(f"a call has the index {trimmed(index, _NAME)} after {len(self.calls)} calls")
            return
        is_first = index == len(self.calls)
        if is_first:
            self.calls.append({"id": "", "name": ""})
            self.arguments.append([])
        function = piece.get("function") or {}
        self._once(index, "id", piece.get("id"), is_first)
        self._once(index, "name", function.get("name"), is_first)
        if is_first and piece.get("type", "function") != "function":
            self._flaw(f"call {index + 1} is of type {trimmed(piece['type'], _NAME)}")
        self.arguments[index].append(_text(function, "arguments"))

    def _flaw(self, what: str) -> None:
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(what)
        else:
            self._more += 1

    def _once(self, index: int, field_name: str, value: Any, is_first: bool) -> None:
        known = self.calls[index][field_name]
        if is_first and not (isinstance(value, str) and value):
            self._flaw(f"call {index + 1} has no {field_name}: {trimmed(value, _NAME)}")
        elif is_first:
            self.calls[index][field_name] = value
        # clients join names as they join arguments; an id that is repeated does no harm
        elif value and (field_name == "name" or value != known):
            seen = f"{trimmed(known, _NAME)}, then {trimmed(value, _NAME)}"
            self._flaw(f"call {index + 1} gets its {field_name} twice: {seen}")

    def answer(self, exchange: Exchange, usage: Usage | None) -> ToolAnswer:
        """All parts as one answer."""
        texts = map("".join, self.arguments)
        calls = tuple(Call(**call, arguments=text) for call, text in zip(self.calls, texts, strict=True))
        content, reasoning, late = map("".join, (self.content, self.reasoning, self.late))
        flaws = (*self.flaws, *([f"and {self._more} more flaws of calls"] if self._more else []))
        return ToolAnswer(calls, content, reasoning, self.reason, usage, flaws, late, exchange)


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    if value is not None and not isinstance(value, str):
        raise UnreadableError(f"{name} is {trimmed(value, _SHOWN)}, not a text")
    return value or ""


def _plain(exchange: Exchange) -> ToolAnswer:
    body = exchange.json()
    if "error" in body:
        raise UnreadableError(f"an error inside HTTP 200: {trimmed(body['error'])}")
    choice, parts = body["choices"][0], _Parts()
    parts.add(choice["message"])
    for index, call in enumerate(choice["message"].get("tool_calls") or []):
        parts.call(call, index)
    parts.reason = str(choice.get("finish_reason"))[:_NAME]
    return parts.answer(exchange, usage_of(body))


def _streamed(exchange: Exchange) -> ToolAnswer:
    if not exchange.frames:
        raise UnreadableError("the stream carried no event")
    parts, usage = _Parts(), None
    for frame in exchange.frames:
        if frame.data.strip() == "[DONE]":
            continue
        chunk = read_json(frame.data)
        if "error" in chunk:
            raise UnreadableError(f"an error event inside HTTP 200: {trimmed(chunk['error'])}")
        usage = usage_of(chunk) or usage
        for choice in chunk["choices"]:
            parts.add(choice["delta"])
            for piece in choice["delta"].get("tool_calls") or []:
                parts.call(piece, piece.get("index"))
            parts.reason = str(choice.get("finish_reason") or parts.reason)[:_NAME]
    return parts.answer(exchange, usage)
