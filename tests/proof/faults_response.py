"""Faults of the answer: its status, form, fields and text, streamed or not."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fault_stages import (
    CHAT,
    Call,
    Cut,
    Dose,
    Frames,
    Response,
    Rewriter,
    Stages,
    edits_answers,
    edits_body,
    error_response,
    rewrites_text,
    said,
    text_of,
    typed,
)

_CJK = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = "The picture shows several things next to each other."
CHINESE = "图片里有几样东西并排放着。"
OTHER_MODEL = "another-model"
_READINESS = 4


def _edits_choices(edit: Callable[[dict[str, Any]], None]) -> Stages:
    def each(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            edit(choice)

    return edits_answers(each)


def _edits_usage(edit: Callable[[dict[str, Any]], None]) -> Stages:
    return edits_answers(lambda _call, body: edit(body["usage"]) if body.get("usage") else None)


def status_500(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        is_hit = call.is_chat and dose.strikes(call.number)
        return error_response(500, "EngineCore encountered an issue.") if is_hit else None

    return Stages(instead=instead)


def status_some(status: int) -> Callable[[Dose], Stages]:
    """A status for some requests, never for those of readiness, which are sent only once."""

    def stages(dose: Dose) -> Stages:
        def instead(call: Call) -> Response | None:
            is_hit = call.is_chat and call.number >= _READINESS and dose.strikes(call.number)
            return error_response(status, "The server is overloaded.") if is_hit else None

        return Stages(instead=instead)

    return stages


def error_as_200(dose: Dose) -> Stages:
    return Stages(instead=lambda call: error_response(200, "Internal server error", code=500) if call.is_chat else None)


def missing(key: str) -> Callable[[Dose], Stages]:
    """The fault that a top-level field of the answer is absent."""
    return lambda _dose: edits_answers(lambda _call, body: body.pop(key, None))


def wrong_type_created(dose: Dose) -> Stages:
    return edits_answers(lambda _call, body: body.update(created=str(body["created"])))


def float_usage(dose: Dose) -> Stages:
    def edit(usage: dict[str, Any]) -> None:
        usage.update({key: float(value) for key, value in usage.items() if isinstance(value, int)})

    return _edits_usage(edit)


def _usage_off(dose: Dose, *keys: str) -> Stages:
    return _edits_usage(lambda usage: usage.update({key: usage[key] + int(dose.magnitude) for key in keys}))


def prompt_tokens_off(dose: Dose) -> Stages:
    return _usage_off(dose, "prompt_tokens", "total_tokens")


def completion_tokens_off(dose: Dose) -> Stages:
    return _usage_off(dose, "completion_tokens", "total_tokens")


def total_tokens_off(dose: Dose) -> Stages:
    return _usage_off(dose, "total_tokens")


def finish_reason_wrong(dose: Dose) -> Stages:
    return _edits_choices(lambda choice: choice.update(finish_reason="done") if choice.get("finish_reason") else None)


def finish_reason_null(dose: Dose) -> Stages:
    return _edits_choices(lambda choice: choice.update(finish_reason=None))


def ids_repeated(dose: Dose) -> Stages:
    first: list[str] = []

    def edit(call: Call, body: dict[str, Any]) -> None:
        first.append(body["id"])
        del first[1:]
        body["id"] = first[0]

    return edits_answers(edit)


def content_null(dose: Dose) -> Stages:
    return _edits_choices(lambda choice: said(choice).update(content=None))


def content_type_wrong(dose: Dose) -> Stages:
    def headers(call: Call, headers: Mapping[str, str]) -> Mapping[str, str]:
        return typed(headers, "text/plain") if call.is_chat else headers

    return Stages(headers=headers)


def truncated_body(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        kept = int(len(response.body) * dose.magnitude)
        return replace(response, body=response.body[:kept]) if call.is_chat else response

    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            if text_of(frame):
                yield frame[: int(len(frame) * dose.magnitude)]
                return
            yield frame

    return Stages(response=response, frames=frames)


def connection_reset(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        return replace(response, reset_after=int(dose.magnitude)) if call.is_chat else response

    def frames(call: Call, frames: Frames) -> Frames:
        left = int(dose.magnitude)
        for frame in frames:
            yield frame[:left]
            left -= len(frame)
            if left <= 0:
                raise Cut

    return Stages(response=response, frames=frames)


def other_model_name(dose: Dose) -> Stages:
    answers = edits_answers(lambda _call, body: body.update(model=OTHER_MODEL))

    def rename(body: dict[str, Any]) -> None:
        for card in body["data"]:
            card["id"] = OTHER_MODEL

    models = edits_body("/v1/models", rename)

    def response(call: Call, response: Response) -> Response:
        return (answers if call.route == CHAT else models).response(call, response)

    return Stages(response=response, frames=answers.frames)


def text_cut(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, _done: text[: int(dose.magnitude)])


def word_swapped(dose: Dose) -> Stages:
    def rewrite(text: str, done: bool) -> str:
        # the second and the third word; while they may be cut, only the first one is sent
        found = re.match(r"(\s*\S+\s+)(\S+)(\s+)(\S+)" + ("" if done else r"(?=\s)"), text)
        if found is None:
            return text if done else "".join(re.findall(r"^\s*\S+\s+", text))
        first, second, blanks, third = found.groups()
        return first + third + blanks + second + text[found.end() :]

    return rewrites_text(lambda call: rewrite if dose.strikes(call.number) else lambda text, _done: text)


def text_looped(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, done: text + (" " + text) * int(dose.magnitude) if done else text)


def text_exclaimed(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, _done: "!" * len(text))


def text_empty(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda _text, _done: "")


def mojibake(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, _done: text.encode().decode("latin-1"))


def replacement_characters(dose: Dose) -> Stages:
    def rewrite(text: str, done: bool) -> str:
        return "".join("\N{REPLACEMENT CHARACTER}" if dose.strikes(place) else c for place, c in enumerate(text))

    return rewrites_text(lambda _call: rewrite)


def special_token_leaked(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, done: text + "<|im_end|>" if done else text)


def question_of(call: Call) -> str:
    """The text of the last message of a chat request; '' when there is none."""
    messages = (call.json() or {}).get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def language_switched(dose: Dose) -> Stages:
    def start(call: Call) -> Rewriter:
        false = ENGLISH if _CJK.search(question_of(call)) else CHINESE
        return lambda text, done: false if done else false[: len(text)]

    return rewrites_text(start)


def chinese_garbled(dose: Dose) -> Stages:
    def start(call: Call) -> Rewriter:
        is_hit = _CJK.search(question_of(call)) is not None
        return lambda text, _done: "".join(map(_other_character, text)) if is_hit else text

    return rewrites_text(start)


def _other_character(char: str) -> str:
    """A Chinese character in the place of any other; neighbours lie far apart."""
    return chr(0x4E00 + ord(char) * 7919 % 20000)


def answer_of_previous(dose: Dose) -> Stages:
    last: list[str] = []

    def start(call: Call) -> Rewriter:
        # Fixed at the start of the answer: another answer may end while this one is being streamed.
        previous = last[0] if last else None

        def rewrite(text: str, done: bool) -> str:
            if done:
                last[:] = [text]
            if previous is None:
                return text
            return previous if done else previous[: len(text)]

        return rewrite

    return rewrites_text(start)


@dataclass(slots=True)
class _Half:
    text: str
    received: str | None = None
    is_met: threading.Event = field(default_factory=threading.Event)


class Meeting:
    """Two texts that arrive within `wait_s` of one another are exchanged; a lone one leaves as it came."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s, self._lock = wait_s, threading.Lock()
        self._waiting: _Half | None = None

    def exchange(self, text: str, waits: bool = True) -> str:
        """The text to send in place of `text`; one that does not wait is exchanged with one that does."""
        with self._lock:
            other, self._waiting = self._waiting, None
            if other is not None:
                other.received = text
                other.is_met.set()
                return other.text
            if not waits:
                return text
            mine = self._waiting = _Half(text)
        mine.is_met.wait(self._wait_s)
        with self._lock:
            if self._waiting is mine:
                self._waiting = None
        return text if mine.received is None else mine.received


def answers_swapped(dose: Dose) -> Stages:
    meeting = Meeting(dose.magnitude)
    return rewrites_text(lambda _call: lambda text, done: meeting.exchange(text) if done else "")


def logprobs_missing(dose: Dose) -> Stages:
    return _edits_choices(lambda choice: choice.update(logprobs=None))


def logprobs_positive(dose: Dose) -> Stages:
    def edit(choice: dict[str, Any]) -> None:
        for entry in (choice.get("logprobs") or {}).get("content") or []:
            entry["logprob"] = abs(entry["logprob"]) + dose.magnitude

    return _edits_choices(edit)


def logprobs_not_numbers(dose: Dose) -> Stages:
    def edit(choice: dict[str, Any]) -> None:
        for entry in (choice.get("logprobs") or {}).get("content") or []:
            for one in (entry, *entry["top_logprobs"]):
                one["logprob"] = math.nan

    return _edits_choices(edit)


def usage_not_numbers(dose: Dose) -> Stages:
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return _edits_usage(lambda usage: usage.update(dict.fromkeys(counts, math.nan)))


def logprobs_unsteady(dose: Dose) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        off = dose.magnitude * dose.drawn(call.number).random()
        for choice in body["choices"]:
            for entry in (choice.get("logprobs") or {}).get("content") or []:
                for one in (entry, *entry["top_logprobs"]):
                    one["logprob"] -= off

    return edits_answers(edit)
