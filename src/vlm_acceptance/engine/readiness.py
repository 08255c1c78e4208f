"""Readiness in stages: each stage is proven in order, and the one that fails is named."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core.exchange import Exchange, NoReply, token_count
from vlm_acceptance.core.text import trimmed

EXIT_WAIT_S = 1.0
LAUNCHED = ("process", "port", "health", "model", "text", "picture")
ATTACHED = ("health", "model", "text", "picture")
SHOWN_MODELS, LONGEST = 8, 300


def attached(only_v1: bool) -> tuple[str, ...]:
    """The stages of an attached endpoint; behind a gateway that passes /v1 alone there is no /health."""
    return ATTACHED[1:] if only_v1 else ATTACHED


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, proven or failed; `detail` is what was observed, `seconds` the time it took."""

    name: str
    ok: bool
    seconds: float
    detail: str
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. `reached` None: not yet; False: waiting cannot help."""

    reached: bool | None
    detail: str
    exchange: Exchange | None = None


def wait_for(
    name: str,
    probe: Callable[[], ProbeResult],
    timeout_s: float,
    *,
    death: Callable[[], str | None],
    tick: Callable[[str, str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Stage:
    """Probe until the stage is reached or waiting cannot help, `timeout_s` is over, or `death` gives a reason."""
    began = clock()
    while True:
        reason = death()
        if reason:
            return Stage(name, False, clock() - began, reason)
        result = probe()
        if result.reached:
            return Stage(name, True, clock() - began, result.detail, result.exchange)
        if result.reached is False or clock() - began >= timeout_s:
            seconds, detail = clock() - began, result.detail
            if result.reached is None:
                detail = f"not reached within {timeout_s:.0f} s; last seen: {detail}"
            return Stage(name, False, seconds, _late_death(result, death, clock, sleep) or detail, result.exchange)
        tick(name, result.detail)
        sleep(0.25)


def _late_death(
    result: ProbeResult, death: Callable[[], str | None], clock: Callable[[], float], sleep: Callable[[float], None]
) -> str | None:
    """The reason of a death, awaited a moment after a broken connection, which it explains better."""
    is_broken = result.exchange is not None and result.exchange.error is not None
    until = clock() + (EXIT_WAIT_S if is_broken else 0.0)
    while (reason := death()) is None and clock() < until:
        sleep(0.1)
    return reason


def health_probe(exchange: Exchange) -> ProbeResult:
    """Reached when /health gives 200."""
    if exchange.error is not None:
        return ProbeResult(None, f"{exchange.error.kind}: {exchange.error.message}", exchange)
    return ProbeResult(True if exchange.status == 200 else None, f"HTTP {exchange.status}", exchange)


def listed_models(exchange: Exchange) -> list[str] | None:
    """The model ids in a response of /v1/models; None when it is not a valid one."""
    if exchange.error is not None or exchange.status != 200:
        return None
    try:
        ids = [entry["id"] for entry in exchange.json()["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return ids if all(isinstance(one, str) for one in ids) else None


def in_short(models: Sequence[str]) -> str:
    """Model ids for a reader; a deployment may list any number of any length."""
    more = f", and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
    return ", ".join(trimmed(name, LONGEST) for name in models[:SHOWN_MODELS]) + more


def model_card(exchange: Exchange, model: str, keys: Sequence[str]) -> dict[str, str | int | None]:
    """These fields of a model in a response of /v1/models, as far as they are short texts or numbers, else None."""
    try:
        card: Any = next((card for card in exchange.json()["data"] if card["id"] == model), {})
        seen = {key: card.get(key) for key in keys}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        seen = {}
    short = {key: value for key, value in seen.items() if isinstance(value, (str, int)) and len(str(value)) < LONGEST}
    return {key: short.get(key) for key in keys}


def short_json(exchange: Exchange) -> Any:
    """The JSON value of a short response; of another one its first bytes, and None if it is not JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        value = exchange.json()
        return value if len(exchange.body) <= LONGEST else trimmed(exchange.body[:LONGEST])
    return None


def token_probe(exchange: Exchange) -> ProbeResult:
    """Reached by an answer of at least one token. Everything else is False: this request is sent once."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return ProbeResult(False, str(reply), exchange)
    # text alone proves a token; the schema tests refuse a missing usage
    if not reply.text and (reply.usage is None or not token_count(reply.usage.completion)):
        return ProbeResult(False, "answered without a token", exchange)
    return ProbeResult(True, f"{trimmed(reply.text[:80], 60)} in {exchange.elapsed_s:.2f} s", exchange)
