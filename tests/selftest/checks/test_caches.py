"""Cache counters are a proof when they grow, and a doubt when they do not or are not told."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.caches import block_size, too_short, unproven, uses
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request

NAMES = ("prefix_cache_queries", "prefix_cache_hits", "mm_cache_queries", "mm_cache_hits")


def exchange(body: str, status: int = 200) -> Exchange:
    return Exchange("r1", Request("GET", "/metrics"), "t", 0, 1, status, body=body.encode())


def page(*values: float, suffix: str = "_total") -> Exchange:
    lines = [f'vllm:{name}{suffix}{{engine="0"}} {value}' for name, value in zip(NAMES, values)]
    return exchange("\n".join([*lines, 'vllm:cache_config_info{block_size="128",engine="0"} 1.0', ""]))


@pytest.mark.parametrize("suffix", ["", "_total"])
def test_hits_of_both_caches_are_a_proof(suffix: str) -> None:
    prefix, pictures = uses(page(10, 2, 4, 1, suffix=suffix), page(110, 34, 8, 3, suffix=suffix))
    assert (str(prefix), str(pictures)) == ("32 of 100 hit", "2 of 4 hit")
    assert unproven(prefix, pictures) == ""


def test_a_cache_without_a_hit_proves_nothing() -> None:
    used = uses(page(10, 2, 4, 1), page(110, 2, 8, 3))
    assert unproven(*used) == "vllm:prefix_cache_hits did not grow (0 of 100 hit)"
    assert "mm_cache" in unproven(*uses(page(10, 2, 4, 1), page(20, 3, 8, 1)))


@pytest.mark.parametrize("after", [page(), exchange("", 404), exchange("no figures"), exchange("x 1\n")])
def test_what_is_not_told_is_no_proof(after: Exchange) -> None:
    used = uses(page(1, 1, 1, 1), after)
    assert [use.hits for use in used] == [None, None]
    told = "did not grow (not told by /metrics)"
    assert unproven(*used) == f"vllm:prefix_cache_hits {told}; vllm:mm_cache_hits {told}"


def test_a_counter_that_fell_is_no_proof() -> None:
    used = uses(page(10, 9, 4, 3), page(110, 4, 8, 1))
    assert unproven(*used).count("did not grow") == 2


def test_a_page_that_did_not_come_tells_nothing() -> None:
    lost = Exchange("r1", Request("GET", "/metrics"), "t", 0, 1, error=ErrorDetail("timeout", "late"))
    assert [use.hits for use in uses(lost, page(1, 1, 1, 1))] == [None, None]
    assert block_size(lost) is None


def test_prompts_must_be_longer_than_two_blocks() -> None:
    assert block_size(page(1)) == 128
    assert block_size(exchange("vllm:other 1\n")) is None
    assert too_short(257, 128) == too_short(None, 128) == too_short(5, None) == ""
    assert "256 tokens, no more than two cache blocks of 128" in too_short(256, 128)
