"""Faults of clients' requests: a route beside chat is broken."""

from __future__ import annotations

from collections.abc import Callable

from fault_stages import Dose, Stages

# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = ()
