"""Faults of clients' requests: clients that leave, or come late, are treated wrongly."""

from __future__ import annotations

from collections.abc import Callable

from fault_stages import Dose, Stages

# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = ()
