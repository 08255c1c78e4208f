"""Requests that must be refused: with which status, how soon, and with a readable body."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from vlm_acceptance.checks.schema import conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most
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

    `schema="detail"` also accepts the web framework's own `{"detail": ...}`, for unknown routes and JSON nested too
    deep; None accepts any body.
    """
    found = []
    if not is_at_most(exchange.elapsed_s, deadline_s):
        expected, observed = f"a refusal within {deadline_s:g} s", f"{exchange.elapsed_s:.3g} s"
        found.append(Finding(kinds.REFUSAL_DEADLINE, expected, observed))
    if exchange.error is not None:
        return [*found, Finding(kinds.REFUSAL_TRANSPORT, "a readable refusal", str(exchange.error))]
    status = exchange.status or 0
    if status not in statuses:
        found.append(_wrong_status(exchange, status, statuses))
        # An answer and a crash need not have the body of a refusal.
        if not 400 <= status < 500:
            return found
    return found if schema is None else found + _body(exchange, schema, says)


def unauthorized(exchange: Exchange, deadline_s: float, *, launched: bool = True) -> list[Finding]:
    """The request was refused with 401 within `deadline_s` seconds and with a message; vLLM's is a bare string.

    An endpoint that was not `launched` by us may be behind a gateway, which may answer 403, with any body.
    """
    if not launched:
        return refused(exchange, statuses=(401, 403), deadline_s=deadline_s, schema=None)
    return refused(exchange, statuses=(401,), deadline_s=deadline_s, schema="unauthorized")


def _wrong_status(exchange: Exchange, status: int, statuses: Collection[int]) -> Finding:
    kind = kinds.REFUSAL_STATUS
    if status >= 500:
        kind = kinds.REFUSAL_SERVER_ERROR
    elif status < 300:
        kind = kinds.REFUSAL_ACCEPTED
    observed = f"{'accepted, ' if status < 300 else ''}HTTP {status}: {trimmed(_shown(exchange))}"
    return Finding(kind, f"HTTP {' or '.join(map(str, sorted(statuses)))}", observed)


def _shown(exchange: Exchange) -> str:
    return exchange.frames[0].data if exchange.frames else exchange.body.decode("utf-8", "replace")


def _body(exchange: Exchange, schema: str, says: str | None) -> list[Finding]:
    try:
        body = exchange.json()
    except ValueError as broken:
        return [Finding(kinds.REFUSAL_BODY, "a JSON body", f"{broken}: {trimmed(_shown(exchange))}")]
    found = conforms(schema, body, "body")
    if found or says is None:
        return found
    message = body["error"]["message"] if "error" in body else body["detail"]
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    if re.search(says, text, re.IGNORECASE):
        return []
    return [Finding(kinds.REFUSAL_MESSAGE, f"a message that matches /{says}/", trimmed(text))]
