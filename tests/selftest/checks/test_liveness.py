"""Alive means: healthy, an answer with text, counters that count."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.liveness import answered, healthy, metrics_moved
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request


def exchange(status: int | None = 200, body: str = "", error: ErrorDetail | None = None) -> Exchange:
    return Exchange("r1", Request("GET", "/health"), "t", 0, 1, status, body=body.encode(), error=error)


def page(prompt: float, generation: float) -> Exchange:
    return exchange(body=f"vllm:prompt_tokens_total {prompt}\nvllm:generation_tokens_total {generation}\n")


def moved(before: Exchange, after: Exchange) -> list[str]:
    found = metrics_moved(before, after, ("vllm:prompt_tokens", "vllm:generation_tokens"))
    return [finding.expected.partition(" ")[0] for finding in found]


def test_health_is_status_200_in_time() -> None:
    assert healthy(exchange()) == []
    assert [finding.observed for finding in healthy(exchange(503))] == ["HTTP 503"]
    late = exchange(None, error=ErrorDetail("timeout", "nothing more within 5 s"))
    assert [finding.observed for finding in healthy(late)] == ["timeout: nothing more within 5 s"]


@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_an_answer_needs_text(text: str) -> None:
    (finding,) = answered(Reply(text, "stop", None, "m", 0.1))
    assert finding.fatal


def test_an_answer_is_one_and_a_missing_one_is_not() -> None:
    assert answered(Reply("OK", "stop", None, "m", 0.1)) == []
    assert [finding.observed for finding in answered(NoReply("HTTP 500: x"))] == ["HTTP 500: x"]


def test_counters_must_grow_each_of_them() -> None:
    assert moved(page(5, 5), page(6, 6)) == []
    assert moved(page(5, 5), page(6, 5)) == ["vllm:generation_tokens"]
    assert moved(page(5, 5), page(5, 4)) == ["vllm:prompt_tokens", "vllm:generation_tokens"]


def test_absent_counters_are_not_zero() -> None:
    assert moved(exchange(), page(1, 1)) == []
    assert moved(page(1, 1), exchange()) == []


def test_a_page_that_cannot_be_read_is_found() -> None:
    assert moved(exchange(body="<html>"), page(1, 1)) == ["Prometheus"]
