"""Were the caches in use: the counters of `/metrics` before and after, read as a proof and never as a figure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlm_acceptance.checks.models import figure_of, figures_in
from vlm_acceptance.core.exchange import Exchange

PREFIX, PICTURES = "prefix_cache", "mm_cache"
_BLOCK = re.compile(r'^vllm:cache_config_info\{[^}\n]*\bblock_size="(\d+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """Growth of one cache's counters between two readings, in the server's own units; None where it is not told."""

    cache: str
    queries: float | None
    hits: float | None

    def __str__(self) -> str:
        return f"{self.hits:g} of {self.queries or 0:g} hit" if self.hits is not None else "not told by /metrics"


def uses(before: Exchange, after: Exchange) -> tuple[Use, Use]:
    """Use of the prefix cache and of the pictures' cache."""
    first, second = (figures_in(page) or {} for page in (before, after))

    def grown(name: str) -> float | None:
        was, now = figure_of(first, name), figure_of(second, name)
        return None if was is None or now is None else now - was

    prefix, pictures = (
        Use(cache, grown(f"vllm:{cache}_queries"), grown(f"vllm:{cache}_hits")) for cache in (PREFIX, PICTURES)
    )
    return prefix, pictures


def unproven(*seen: Use) -> str:
    """Why the test said nothing about caches, when one of them had no hit or is not counted; else ''."""
    return "; ".join(f"vllm:{use.cache}_hits did not grow ({use})" for use in seen if use.hits is None or use.hits <= 0)


def too_short(tokens: int | None, block: int | None) -> str:
    """Why prompts of so many tokens prove nothing about blocks of that size, or ''; both may be untold."""
    if tokens is None or block is None or tokens > 2 * block:
        return ""
    return f"the twins' prompts have {tokens} tokens, no more than two cache blocks of {block}"


def block_size(page: Exchange) -> int | None:
    """Tokens in a block of the prefix cache, where `/metrics` tells it."""
    told = _BLOCK.search(page.body.decode("utf-8", "replace")) if page.status == 200 else None
    return int(told[1]) if told else None
