"""Faults of clients' requests: one parameter of requests is not obeyed."""

from __future__ import annotations

from collections.abc import Callable

from fault_stages import Dose, Stages

# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = ()
