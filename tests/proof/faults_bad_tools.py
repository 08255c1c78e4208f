"""Faults of clients' requests: tools that are not valid are not refused, or do harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fault_stages import Dose, Stages
from faults_refused import accepted, ends_the_engine, server_error


def _is_with_tools(body: dict[str, Any]) -> bool:
    return "tools" in body or "tool_choice" in body


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("bad-tools-accepted", "bad tools get a free answer", 1.0, accepted(_is_with_tools)),
    ("bad-tools-error", "bad tools are HTTP 500", 1.0, server_error(_is_with_tools)),
    ("bad-tools-end-engine", "bad tools end the engine for this many requests", 1.0, ends_the_engine(_is_with_tools)),
)
