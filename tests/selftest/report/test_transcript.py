"""The transcript: requests and answers as text that cannot control a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.transcript import entry

HOSTILE = "\x1b]0;owned\x07\x1b[2Jnext\rback\x00\x9b31m\ud800\u202e"


def exchange(body: Any, answer: Any, status: int | None = 200, error: ErrorDetail | None = None) -> Exchange:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    request = Request("POST", "/v1/chat/completions", body)
    return Exchange("r00001", request, "2026-01-01T00:00:00Z", 0, 1_500_000_000, status, body=raw, error=error)


def answer(text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}


def asked(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def test_question_picture_and_answer_can_be_read() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = asked([picture, {"type": "text", "text": "What is it?"}], max_tokens=5)
    shown = entry("t", exchange(body, answer("A cat.\nTwo.")))
    assert "> user: <picture image/png sha256 " in shown
    assert "> user: What is it?" in shown
    assert "> {'max_tokens': 5}" in shown
    assert "< A cat.⏎Two." in shown
    assert "(stop, 7+2 tokens, 1.500 s)" in shown
    assert "AAAA" not in shown


@pytest.mark.parametrize(
    "seen",
    [
        exchange(asked(HOSTILE), answer(HOSTILE)),
        exchange(asked("q"), HOSTILE.encode("utf-8", "replace"), 500),
        exchange(asked("q"), b"", None, ErrorDetail("protocol", HOSTILE)),
        exchange(asked([{"type": "text", "text": HOSTILE}], stop=[HOSTILE]), answer("ok")),
    ],
    ids=["answer", "error body", "transport", "request"],
)
def test_nothing_asked_or_answered_can_steer_a_terminal(seen: Exchange) -> None:
    for line in entry("t", seen).split("\n"):
        assert line.isprintable()


def test_escapes_tell_what_stood_there() -> None:
    assert printable("a\x1b[0m\x00\ud800\u202e\n\t图") == "a\\x1b[0m\\x00\\ud800\\u202e\n\t图"


def test_a_long_answer_is_cut_with_its_length() -> None:
    shown = entry("t", exchange(asked("q"), answer("x" * 5000)))
    assert "… (5000 characters)" in shown
    assert len(shown) < 2500


@pytest.mark.parametrize(
    "body", [{"messages": 5}, {"messages": "hello"}, {"messages": [3]}, {}, [1], "x", b"\xff", None]
)
def test_a_request_out_of_shape_is_shown_as_it_is(body: Any) -> None:
    assert "HTTP 400" in entry("t", exchange(body, {"error": "no"}, 400))


def test_an_exchange_without_an_answer_has_the_reason() -> None:
    shown = entry("t", exchange(asked("q"), b"", None, ErrorDetail("timeout", "not complete after 5 s")))
    assert "< timeout: not complete after 5 s (1.500 s)" in shown
