"""An ending engine: half answers that look whole, open requests, and requests that are cut before the promised time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vlm_acceptance.checks import draining
from vlm_acceptance.checks.draining import Drained
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Request

RESET = ErrorDetail("reset", "closed by peer")
STOPPED_S = 10.0


def answer(tokens: int | None, reason: str = "length", ended_s: float = 12, **more: Any) -> Exchange:
    """The answer to a request of eight tokens."""
    usage = None if tokens is None else {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": reason}
    body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
    request = Request("POST", "/v1/chat/completions", {"max_tokens": 8})
    return Exchange("r1", request, "", 0, round(ended_s * NS), **{"status": 200, "body": body, **more})


def cut(ended_s: float = 12, error: ErrorDetail = RESET) -> Exchange:
    return answer(3, ended_s=ended_s, status=None, body=b"", error=error)


def drained(*running: Exchange, late: tuple[Exchange, ...] = ()) -> Drained:
    return Drained(running, late, round(STOPPED_S * NS))


@pytest.mark.parametrize(
    "seen",
    [
        answer(8),
        answer(3, "abort"),
        cut(),
        answer(3, status=503, body=b'{"error": {"message": "shutting down"}}'),
        answer(3, body=b"{"),
    ],
    ids=["whole", "aborted", "closed", "refused", "broken"],
)
def test_a_whole_answer_and_one_that_shows_that_it_is_none_are_right(seen: Exchange) -> None:
    assert draining.half_answers(drained(seen, late=(seen,))) == []


@pytest.mark.parametrize("tokens", [0, 7, 9])
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_half_an_answer_that_looks_whole_is_fatal(tokens: int, reason: str) -> None:
    half = answer(tokens, reason)
    found = draining.half_answers(drained(half, answer(8), late=(half,)))
    assert [(one.kind, one.where) for one in found] == [
        (kinds.RELEASE_HALF, "in flight"),
        (kinds.RELEASE_HALF, "sent afterwards"),
    ]
    assert found[0].fatal
    assert found[0].observed == f"an answer that looks whole (finish_reason {reason!r}) after {tokens} tokens"


def test_an_answer_without_a_count_is_not_known_to_be_whole() -> None:
    [found] = draining.half_answers(drained(answer(None)))
    assert "an unknown number of tokens" in found.observed


def test_what_was_answered_before_is_not_in_flight() -> None:
    seen = drained(answer(3, ended_s=9.9), answer(8))
    assert len(seen.in_flight) == 1
    assert draining.half_answers(seen) == []


def test_a_request_that_stays_open_until_its_client_leaves_is_found() -> None:
    seen = replace(drained(cut(11), answer(8), cut(20.1), late=(cut(20.1),)), left_ns=20 * NS)
    [found] = draining.left_open(seen)
    assert (found.kind, found.observed) == (kinds.RELEASE_OPEN, "2 of 4 requests still open after 10 s")
    assert draining.left_open(replace(seen, left_ns=None)) == []
    assert draining.left_open(replace(seen, left_ns=21 * NS)) == []
    assert draining.figures(seen)["sent_afterwards"] == "left open"


@pytest.mark.parametrize(("ended_s", "findings"), [(12.0, 1), (28.5, 1), (29.5, 0), (31.0, 0)])
def test_a_request_in_flight_gets_the_promised_time(ended_s: float, findings: int) -> None:
    assert len(draining.cut_too_early(drained(cut(ended_s), cut(ended_s)), 20)) == findings
    assert draining.cut_too_early(drained(answer(8, ended_s=ended_s)), 20) == []
    assert draining.cut_too_early(drained(cut(ended_s)), 0) == []


def test_a_report_shows_how_each_request_ended() -> None:
    seen = drained(cut(), answer(8), answer(3, "abort"), late=(answer(3, status=503), answer(3, body=b"{")))
    assert draining.figures(seen) == {
        "in_flight": "reset, finish_reason length, finish_reason abort",
        "sent_afterwards": "HTTP 503, no whole answer",
    }
    assert draining.figures(drained()) == {"in_flight": "none", "sent_afterwards": "none"}
