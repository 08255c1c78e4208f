"""Streams that are sound, and one for every way to break one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vlm_acceptance.checks.stream import same_text, stream_is_sound
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Frame, Request

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "internvl2-2b"}
USAGE = {"prompt_tokens": 106, "completion_tokens": 3, "total_tokens": 109}
ERROR = {"error": {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}}


def part(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}


ROLE = part({"role": "assistant", "content": ""})
RIVER, NUMBER = part({"content": "RIVER"}), part({"content": " 472"})
END = part({"content": ""}, "stop")
USED = {**HEAD, "choices": [], "usage": USAGE}
DONE = "[DONE]"
SSE = "text/event-stream; charset=utf-8"
PLAIN = [ROLE, RIVER, NUMBER, END, DONE]
WITH_USAGE = [ROLE, RIVER, NUMBER, END, USED, DONE]


def stream(*events: Any, body: Any = None, content_type: str = SSE, **more: Any) -> Exchange:
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    frames = tuple(Frame(number, text) for number, text in enumerate(texts, 1))
    request = Request("POST", "/v1/chat/completions", body or {}, stream=True)
    headers = {"Content-Type": content_type}
    return Exchange("e1", request, "", 0, 100, more.pop("status", 200), headers, frames=frames, **more)


def checks(*events: Any, usage: bool = False, n: int = 1) -> list[str]:
    return [finding.check for finding in stream_is_sound(stream(*events), expect_usage=usage, n=n)]


def test_a_plain_stream_is_sound() -> None:
    assert checks(*PLAIN) == []


def test_a_stream_with_usage_is_sound_when_it_was_asked_for() -> None:
    assert checks(*WITH_USAGE, usage=True) == []


def test_usage_null_in_chunks_of_text_is_sound() -> None:
    chunks = [{**chunk, "usage": None} for chunk in (ROLE, RIVER, NUMBER, END)]

    assert checks(*chunks, USED, DONE, usage=True) == []


def test_two_choices_may_be_interleaved_and_end_apart() -> None:
    other = [part({"role": "assistant"}, index=1), part({"content": "LAKE"}, index=1), part({}, "length", index=1)]

    assert checks(ROLE, other[0], RIVER, END, other[1], other[2], DONE, n=2) == []


def test_the_header_name_may_have_any_case() -> None:
    lower = replace(stream(*PLAIN), headers={"content-type": SSE})

    assert stream_is_sound(lower, expect_usage=False) == []


BROKEN = {
    "no event": ([], False, ["stream.empty"]),
    "only the end mark": ([DONE], False, ["stream.empty"]),
    "no end mark": ([ROLE, RIVER, END], False, ["stream.done"]),
    "two end marks": ([ROLE, RIVER, END, DONE, DONE], False, ["stream.done", "stream.after_done"]),
    "a chunk after the end mark": ([ROLE, RIVER, DONE, END], False, ["stream.after_done"]),
    "no JSON": ([ROLE, "{RIVER", END, DONE], False, ["stream.json"]),
    "an empty event": ([ROLE, "", END, DONE], False, ["stream.json"]),
    "an error inside 200": ([ROLE, RIVER, ERROR, DONE], False, ["stream.error"]),
    "an error as the only event": ([ERROR, DONE], False, ["stream.error"]),
    "a chunk out of shape": ([ROLE, {**RIVER, "created": "now"}, END, DONE], False, ["schema.chunk"]),
    "an event that is no object": ([ROLE, "3", END, DONE], False, ["schema.chunk"]),
    "two ids": ([ROLE, {**RIVER, "id": "chatcmpl-2"}, END, DONE], False, ["stream.identity"]),
    "two models": ([ROLE, {**RIVER, "model": "qwen"}, END, DONE], False, ["stream.identity"]),
    "two times": ([ROLE, {**RIVER, "created": 1764000001}, END, DONE], False, ["stream.identity"]),
    "no role": ([RIVER, END, DONE], False, ["stream.role"]),
    "two roles": ([ROLE, ROLE, RIVER, END, DONE], False, ["stream.role"]),
    "role after text": ([RIVER, ROLE, END, DONE], False, ["stream.role"]),
    "no finish_reason": ([ROLE, RIVER, DONE], False, ["stream.finish"]),
    "two finish_reasons": ([ROLE, RIVER, END, END, DONE], False, ["stream.finish"]),
    "text after the end": ([ROLE, RIVER, END, NUMBER, DONE], False, ["stream.finish"]),
    "usage not asked for": (WITH_USAGE, False, ["stream.usage"]),
    "usage missing": (PLAIN, True, ["stream.usage"]),
    "usage twice": ([ROLE, RIVER, END, USED, USED, DONE], True, ["stream.usage", "stream.usage"]),
    "usage before the end": ([ROLE, RIVER, USED, END, DONE], True, ["stream.usage"]),
    "no usage in the usage chunk": ([ROLE, RIVER, END, {**HEAD, "choices": []}, DONE], True, ["stream.usage"]),
    "usage in chunks of text": ([ROLE, {**RIVER, "usage": USAGE}, END, USED, DONE], True, ["stream.usage"]),
    "a choice too many": ([*PLAIN[:-1], part({"role": "assistant"}, "stop", 1), DONE], False, ["stream.choices"]),
    "no choice at all": ([USED, DONE], True, ["stream.choices"]),
}


@pytest.mark.parametrize(("events", "usage", "expected"), BROKEN.values(), ids=BROKEN)
def test_every_broken_stream_is_found_and_named(events: list[Any], usage: bool, expected: list[str]) -> None:
    assert checks(*events, usage=usage) == expected


def test_a_choice_too_few_is_found() -> None:
    assert checks(*PLAIN, n=2) == ["stream.choices"]


def test_running_usage_is_sound_when_it_was_asked_for() -> None:
    asked = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    running = [{**chunk, "usage": USAGE} for chunk in (ROLE, RIVER, END)]

    assert stream_is_sound(stream(*running, USED, DONE, body=asked), expect_usage=True) == []


def test_another_content_type_is_found() -> None:
    (finding,) = stream_is_sound(stream(*PLAIN, content_type="application/json"), expect_usage=False)

    assert (finding.check, finding.observed) == ("stream.content_type", "application/json")


def test_a_stream_that_broke_off_is_found_with_its_cause() -> None:
    cut = stream(ROLE, RIVER, error=ErrorDetail("reset", "connection reset by peer"))
    found = stream_is_sound(cut, expect_usage=False)

    assert [finding.check for finding in found] == ["stream.broken", "stream.done", "stream.finish"]
    assert found[0].observed == "reset: connection reset by peer after 2 events"


@pytest.mark.parametrize("status", [400, 500, 503])
def test_another_status_is_not_a_stream(status: int) -> None:
    assert [f.check for f in stream_is_sound(stream(*PLAIN, status=status), expect_usage=False)] == ["stream.status"]


def test_no_response_at_all_is_not_a_stream() -> None:
    nothing = stream(status=None, error=ErrorDetail("connect", "refused"))

    assert [finding.observed for finding in stream_is_sound(nothing, expect_usage=False)] == ["connect: refused"]


def test_an_error_event_is_found_by_its_name_too() -> None:
    frames = (Frame(1, json.dumps(ROLE)), Frame(2, '{"message": "died"}', event="error"), Frame(3, DONE))
    named = replace(stream(), frames=frames)

    assert [finding.check for finding in stream_is_sound(named, expect_usage=False)] == ["stream.error"]


def test_a_finding_names_its_event() -> None:
    (finding,) = stream_is_sound(stream(ROLE, {**RIVER, "id": 7}, END, DONE), expect_usage=False)

    assert finding.where == "event 2 $.id"


def plain(text: str, finish: str = "stop", **more: Any) -> Exchange:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    body = json.dumps({"model": "internvl2-2b", "choices": [choice], "usage": USAGE}).encode()
    return Exchange("e2", Request("POST", "/v1/chat/completions"), "", 0, 1, 200, body=body)


def test_the_same_text_streamed_and_plain_has_no_finding() -> None:
    assert same_text(stream(*PLAIN), plain("RIVER 472")) == []


@pytest.mark.parametrize(
    ("events", "streamed"),
    [([ROLE, NUMBER, END, DONE], "' 472'"), ([ROLE, RIVER, RIVER, NUMBER, END, DONE], "'RIVER 472'")],
    ids=["chunk lost", "chunk sent twice"],
)
def test_a_lost_or_repeated_chunk_is_found_where_the_texts_differ(events: list[Any], streamed: str) -> None:
    (finding,) = same_text(stream(*events), plain("RIVER 472"))

    assert finding.check == "stream.same_text"
    assert finding.observed == f"streamed {streamed}; the profile says that texts are equal"


def test_a_stream_may_leave_the_plain_text_at_a_near_tie() -> None:
    tie = [{"token": " 472", "logprob": -0.7}, {"token": " 412", "logprob": -0.8}]
    content = [{"token": "RIVER", "logprob": -0.1, "top_logprobs": []}, {**tie[0], "top_logprobs": tie}]
    known, other = (
        plain("RIVER 472", logprobs={"content": content}),
        [ROLE, RIVER, part({"content": " 412"}), END, DONE],
    )

    assert same_text(stream(*other), known, 0.5) == []
    assert [finding.check for finding in same_text(stream(*other), known, 0.05)] == ["stream.same_text"]
    assert [finding.check for finding in same_text(stream(*other), known)] == ["stream.same_text"]


def test_another_reason_to_stop_is_found() -> None:
    (finding,) = same_text(stream(*PLAIN), plain("RIVER 472", "length"))

    assert (finding.expected, finding.observed) == ("finish_reason 'length'", "streamed 'stop'")


def test_a_comparison_without_an_answer_is_a_finding() -> None:
    (finding,) = same_text(stream(ROLE, ERROR, DONE), plain("RIVER 472"))

    assert "EngineCore died" in finding.observed
