"""The readiness ladder: every stage is proven, in order, and the one that breaks is named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vlm_acceptance.core.exchange import Exchange, NoReply

LAST_WORDS_S = 1.0
LAUNCHED = ("process", "port", "health", "model", "text", "picture")
ATTACHED = ("health", "model", "text", "picture")


@dataclass(frozen=True, slots=True)
class Stage:
    """One proven or broken stage; `detail` says what was seen, `seconds` how long it took."""

    name: str
    ok: bool
    seconds: float
    detail: str
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one try of a step saw. `reached` None means not yet; False that no waiting will mend it."""

    reached: bool | None
    detail: str
    exchange: Exchange | None = None


def wait_for(
    name: str,
    step: Callable[[], ProbeResult],
    timeout_s: float,
    *,
    alive: Callable[[], str | None],
    tick: Callable[[str, str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Stage:
    """Try one step until it is reached or lost, the deadline passes, or `alive` says why it never will be."""
    began = clock()
    while True:
        dead = alive()
        if dead:
            return Stage(name, False, clock() - began, dead)
        look = step()
        if look.reached:
            return Stage(name, True, clock() - began, look.detail, look.exchange)
        lost = look.reached is False
        if lost or clock() - began >= timeout_s:
            detail = look.detail if lost else f"not reached within {timeout_s:.0f} s; last seen: {look.detail}"
            return Stage(name, False, clock() - began, last_words(look, alive, clock, sleep) or detail, look.exchange)
        tick(name, look.detail)
        sleep(0.25)


def last_words(
    look: ProbeResult, alive: Callable[[], str | None], clock: Callable[[], float], sleep: Callable[[float], None]
) -> str | None:
    """What `alive` says about a broken step: an end explains more than the connection that broke a moment before."""
    until = clock() + (LAST_WORDS_S if look.exchange is not None and look.exchange.error is not None else 0.0)
    while (dead := alive()) is None and clock() < until:
        sleep(0.1)
    return dead


def health_look(exchange: Exchange) -> ProbeResult:
    """Reached by a 200 from /health."""
    if exchange.error is not None:
        return ProbeResult(None, f"{exchange.error.kind}: {exchange.error.message}", exchange)
    return ProbeResult(True if exchange.status == 200 else None, f"HTTP {exchange.status}", exchange)


def listed_models(exchange: Exchange) -> list[str] | None:
    """The ids in an answer of /v1/models; None when it is no such answer."""
    if exchange.error is not None or exchange.status != 200:
        return None
    try:
        return [str(entry["id"]) for entry in exchange.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def token_look(exchange: Exchange) -> ProbeResult:
    """Reached by an answer of at least one token; a probe is asked once, so anything else is lost."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return ProbeResult(False, str(reply), exchange)
    # a missing usage is for the schema tests to refuse; text alone proves a token
    if not reply.text and (reply.usage is None or reply.usage.completion < 1):
        return ProbeResult(False, "answered without a token", exchange)
    return ProbeResult(True, f"{reply.text!r:.60} in {exchange.elapsed_s:.2f} s", exchange)
