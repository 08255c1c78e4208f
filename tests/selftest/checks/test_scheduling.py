"""Requests are kept apart by their salt, and served by their priority."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks import scheduling
from vlm_acceptance.checks.scheduling import Prompted
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NS, Exchange, Request

BAD: tuple[Any, ...] = (None, "3", -1, 2.5, True, [], {})


def exchange(status: int = 200, details: Any = None, ended_s: float = 1.0, priority: int = 0) -> Exchange:
    usage = {"prompt_tokens": 400, "completion_tokens": 2, "total_tokens": 402, "prompt_tokens_details": details}
    choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "length"}
    body: Any = {"model": "m", "choices": [choice], "usage": usage}
    if status != 200:
        body = {
            "error": {"message": "priority is not enabled", "type": "BadRequestError", "param": None, "code": status}
        }
    request = Request("POST", "/v1/chat/completions", {"priority": priority})
    return Exchange("r1", request, "", 0, round(ended_s * NS), status, body=json.dumps(body).encode())


def sent(by_usage: int | None = None, counted: int | None = None) -> Prompted:
    return Prompted(exchange(), by_usage, counted)


def test_cached_tokens_are_read_from_the_usage() -> None:
    assert scheduling.cached_by_usage(exchange(details={"cached_tokens": 384})) == 384
    assert scheduling.cached_by_usage(exchange(500)) is None
    for bad in BAD:
        assert scheduling.cached_by_usage(exchange(details={"cached_tokens": bad})) is None
        assert scheduling.cached_by_usage(exchange(details=bad)) is None


def test_what_another_salt_filled_the_cache_with_is_not_used() -> None:
    # a server that reports cached tokens reports none where there are none
    assert scheduling.apart(sent(384), sent(None)) == []
    assert scheduling.apart(sent(384), sent(0, 384)) == []
    assert scheduling.apart(sent(None, 384), sent(None, 0)) == []
    for other in (sent(384), sent(1)):
        [found] = scheduling.apart(sent(384), other)
        assert found.kind is kinds.SCHEDULING_SALT
    [found] = scheduling.apart(sent(None, 384), sent(None, 256))
    assert found.observed == "cache_salt is not obeyed: 256 tokens of the prompt came from the cache"


def test_a_request_without_an_answer_is_named() -> None:
    [found] = scheduling.answered([sent(), Prompted(exchange(500), None, None)])
    assert (found.kind, "HTTP 500" in found.observed) == (kinds.PARAMETER_ANSWER, True)


def test_the_urgent_request_is_served_first() -> None:
    early, late = exchange(ended_s=1), exchange(ended_s=2)
    assert scheduling.first_served(late, early) == []
    [found] = scheduling.first_served(early, late)
    assert (found.kind, found.exchange) == (kinds.SCHEDULING_PRIORITY, late)
    [found] = scheduling.first_served(exchange(ended_s=1, priority=9), exchange(ended_s=2, priority=-9))
    assert "the request of priority 9, which" in found.observed
    assert found.expected == "priority -9 served before 9: vLLM serves the lower number first"
    assert scheduling.first_served(early, early)[0].kind is kinds.SCHEDULING_PRIORITY


@pytest.mark.parametrize(("earlier", "urgent"), [(None, exchange()), (exchange(), None), (exchange(500), exchange())])
def test_a_waiting_request_without_an_answer_is_a_finding(earlier: Exchange | None, urgent: Exchange | None) -> None:
    [found] = scheduling.first_served(earlier, urgent)
    assert found.kind is kinds.PARAMETER_ANSWER


def test_a_priority_may_be_refused_but_readably() -> None:
    assert scheduling.survived(exchange(), 5) == []
    assert scheduling.survived(exchange(400), 5) == []
    assert scheduling.survived(exchange(500), 5) != []
