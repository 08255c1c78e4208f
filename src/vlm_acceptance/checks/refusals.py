"""Requests that must be refused: with which status, how soon, and with a body a client can read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from vlm_acceptance.checks.schema import conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed


def refused(
    exchange: Exchange,
    *,
    statuses: Collection[int],
    deadline_s: float,
    schema: str | None = "error",
    says: str | None = None,
) -> list[Finding]:
    """The request was refused within `deadline_s` seconds, with one of `statuses` and a message matching `says`.

    `schema="detail"` also takes the web framework's own `{"detail": ...}`, for unknown routes and JSON nested too deep;
    with None any body does.
    """
    found = []
    if exchange.elapsed_s > deadline_s:
        found.append(
            Finding(kinds.REFUSAL_DEADLINE, f"an answer within {deadline_s:g} s", f"{exchange.elapsed_s:.3g} s")
        )
    if exchange.error is not None:
        observed = f"{exchange.error.kind}: {exchange.error.message}"
        return [*found, Finding(kinds.REFUSAL_TRANSPORT, "a readable refusal", observed)]
    if exchange.status not in statuses:
        found.append(_wrong_status(exchange, statuses))
        # Neither an answer nor a crash owes the body of a refusal.
        if exchange.status is None or not 400 <= exchange.status < 500:
            return found
    return found if schema is None else found + _body(exchange, schema, says)


def unauthorized(exchange: Exchange, deadline_s: float, *, launched: bool = True) -> list[Finding]:
    """The request was refused with 401 within `deadline_s` seconds, in words; vLLM's are a bare string.

    A gateway may stand before an endpoint that was not `launched` by us: it may say 403, and with any body.
    """
    if not launched:
        return refused(exchange, statuses=(401, 403), deadline_s=deadline_s, schema=None)
    return refused(exchange, statuses=(401,), deadline_s=deadline_s, schema="unauthorized")


def _wrong_status(exchange: Exchange, statuses: Collection[int]) -> Finding:
    expected = f"HTTP {' or '.join(map(str, sorted(statuses)))}"
    observed = f"HTTP {exchange.status}: {trimmed(_shown(exchange))}"
    if exchange.status is not None and exchange.status >= 500:
        return Finding(kinds.REFUSAL_SERVER_ERROR, expected, observed)
    if exchange.status is not None and exchange.status < 300:
        return Finding(kinds.REFUSAL_ACCEPTED, expected, f"accepted, {observed}")
    return Finding(kinds.REFUSAL_STATUS, expected, observed)


def _shown(exchange: Exchange) -> str:
    if exchange.frames:
        return exchange.frames[0].data
    return exchange.body.decode("utf-8", "replace")


def _body(exchange: Exchange, schema: str, says: str | None) -> list[Finding]:
    try:
        body = exchange.json()
    except ValueError:
        return [Finding(kinds.REFUSAL_BODY, "a JSON body", trimmed(_shown(exchange)))]
    found = conforms(schema, body, "body")
    if found or says is None:
        return found
    message = _message(body)
    if not re.search(says, message, re.IGNORECASE):
        return [Finding(kinds.REFUSAL_MESSAGE, f"a message that says /{says}/", trimmed(message))]
    return []


def _message(body: dict[str, Any]) -> str:
    said = body["error"]["message"] if "error" in body else body["detail"]
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
